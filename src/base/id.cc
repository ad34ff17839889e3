#include "base/id.h"

#include <sys/random.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "base/digest.h"

namespace watari {

std::string random_hex(std::size_t digits) {
  std::vector<std::uint8_t> bytes((digits + 1) / 2);
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    auto got = ::getrandom(bytes.data() + filled, bytes.size() - filled, 0);
    if (got < 0) throw std::runtime_error("getrandom failed");
    filled += static_cast<std::size_t>(got);
  }
  auto text = hex(bytes);
  text.resize(digits);
  return text;
}

}  // namespace watari
