#pragma once
// In which form a plain blob goes over the line. Pure.
// Source: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
#include <string_view>

#include "codec/compress.h"

namespace watari::registry {

// What Accept-Encoding asks for: Zstd, Gzip, or None for the bytes as they are. The highest weight counts, zstd before gzip before nothing among equals.
// `near` is a client on this host: it gets the bytes as they are unless it refuses them (identity;q=0), since there is no line to save.
codec::Compression choose_encoding(std::string_view accept_encoding, bool near);

}  // namespace watari::registry
