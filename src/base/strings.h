#pragma once
// Small text helpers that the standard library lacks.
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace watari {

std::vector<std::string> split(std::string_view text, char separator);  // "a,,b" has three parts; "" has one
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);
std::string to_lower(std::string_view text);
std::string percent_encode(std::string_view text, std::string_view unreserved = "-_.~");  // RFC 3986 section 2.1
std::optional<std::string> percent_decode(std::string_view text);
bool wildcard_match(std::string_view pattern, std::string_view text);  // "*" is any run of characters, "?" any one

// The whole text must be the number.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace watari
