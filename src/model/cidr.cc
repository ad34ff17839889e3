#include "model/cidr.h"

#include "base/strings.h"

namespace watari::model {

std::string ipv4_text(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, (address >> 16) & 255, (address >> 8) & 255, address & 255);
}

std::string Cidr::text() const { return ipv4_text(base) + "/" + std::to_string(length); }

Result<std::uint32_t> parse_ipv4(std::string_view text) {
  std::uint32_t address = 0;
  auto parts = split(text, '.');
  for (const auto& part : parts) {
    auto number = parse_number<unsigned>(part);
    if (!number || *number > 255 || part.size() > 3 || (part.size() > 1 && part[0] == '0') || parts.size() != 4)
      return fail(Code::InvalidArgument, "'{}' is no IPv4 address", text);
    address = address << 8 | *number;
  }
  return address;
}

Result<Cidr> parse_cidr(std::string_view text) {
  auto slash = text.find('/');
  auto length = slash == std::string_view::npos ? std::nullopt : parse_number<int>(text.substr(slash + 1));
  auto address = parse_ipv4(text.substr(0, slash));
  if (!length || *length < 0 || *length > 32 || !address)
    return fail(Code::InvalidArgument, "'{}' is no IPv4 range; write one like 172.31.0.0/16", text);
  Cidr cidr{.base = *address, .length = *length};
  cidr.base &= cidr.mask();
  return cidr;
}

}  // namespace watari::model
