#pragma once
// IPv4 ranges: "172.31.0.0/16" as a number and a length.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace watari::model {

struct Cidr {
  std::uint32_t base = 0;  // host byte order, host bits zero
  int length = 0;

  std::uint32_t mask() const { return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length); }
  std::uint32_t last() const { return base | ~mask(); }
  std::uint64_t size() const { return std::uint64_t{1} << (32 - length); }
  bool contains(std::uint32_t address) const { return (address & mask()) == base; }
  bool contains(const Cidr& inner) const { return inner.length >= length && contains(inner.base); }
  bool overlaps(const Cidr& other) const { return contains(other.base) || other.contains(base); }
  std::string text() const;
  friend bool operator==(const Cidr&, const Cidr&) = default;
};

// InvalidArgument unless four decimal numbers below 256 without leading zeros.
Result<std::uint32_t> parse_ipv4(std::string_view text);
std::string ipv4_text(std::uint32_t address);

// InvalidArgument when `text` is no IPv4 range. Host bits are cleared: "10.0.0.5/8" is 10.0.0.0/8.
Result<Cidr> parse_cidr(std::string_view text);

}  // namespace watari::model
