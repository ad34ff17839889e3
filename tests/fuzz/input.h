#pragma once
// What all fuzz targets share.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) { return {reinterpret_cast<const char*>(data), size}; }

// A property that must hold for every input.
inline void must(bool holds) {
  if (!holds) std::abort();
}
