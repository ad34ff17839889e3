#pragma once
// Where random_hex() gets its bytes from.
#include <cstdint>
#include <optional>
#include <span>

namespace watari {

// The kernel's random source, or the repeatable one.
void fill_random(std::span<std::uint8_t> out);

// For simulations, in which a seed has to repeat the whole story, ids and their order included: from now on bytes follow from `seed`; without
// one they are the kernel's again. One thread.
void repeat_random(std::optional<std::uint32_t> seed);

}  // namespace watari
