#pragma once
// Bytes that come or go piece by piece: what tar, compression, hashing and sockets are plugged together with.
#include <functional>
#include <span>
#include <string_view>

#include "base/result.h"

namespace watari::codec {

// Fills a prefix of the buffer (never empty) and tells its length; 0 is the end.
using Source = std::function<Result<std::size_t>(std::span<char>)>;
using Sink = std::function<Result<void>(std::string_view)>;

}  // namespace watari::codec
