#include "base/random_source.h"

#include <sys/random.h>

#include <random>
#include <stdexcept>

namespace watari {

static std::optional<std::mt19937> repeatable;

void fill_random(std::span<std::uint8_t> out) {
  if (repeatable) {
    for (auto& byte : out) byte = static_cast<std::uint8_t>((*repeatable)());
    return;
  }
  while (!out.empty()) {
    auto got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0) throw std::runtime_error("getrandom failed");
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

void repeat_random(std::optional<std::uint32_t> seed) {
  repeatable.reset();
  if (seed) repeatable.emplace(*seed);
}

}  // namespace watari
