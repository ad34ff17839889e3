#pragma once
// gzip and zstd as streams. Memory is flat: one buffer and the library's window.
#include "codec/stream.h"

namespace watari::codec {

enum class Compression { None, Gzip, Zstd };

// By the first bytes (RFC 1952 section 2.3.1, RFC 8878 section 3.1.1); four are enough.
Compression detect_compression(std::string_view first_bytes);

// The plain bytes of `source`, whatever it is compressed with (found out by the first bytes; several gzip members or zstd
// frames in a row are one stream). Corrupt when the stream is damaged or ends early; zstd windows over 128 MiB are refused.
Source decompress(Source source);

// As decompress(), and bzip2 and xz too: for archives that people give to ADD, not for what registries send.
Source decompress_any(Source source);

// Compresses into `sink`; the returned sink takes plain bytes, and an empty piece ends the stream (write nothing after it).
// Deterministic: no time, no name.
Sink compress(Compression how, Sink sink);

}  // namespace watari::codec
