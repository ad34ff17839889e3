#include "base/id.h"

#include <cstdint>
#include <vector>

#include "base/digest.h"
#include "base/random_source.h"

namespace watari {

std::string random_hex(std::size_t digits) {
  std::vector<std::uint8_t> bytes((digits + 1) / 2);
  fill_random(bytes);
  auto text = hex(bytes);
  text.resize(digits);
  return text;
}

}  // namespace watari
