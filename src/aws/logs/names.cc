#include "aws/logs/names.h"

#include <algorithm>

namespace watari::aws::logs {

std::string group_arn(const Call& call, const std::string& group) {
  return fmt::format("arn:aws:logs:{}:{}:log-group:{}", call.scope.region, call.scope.account, group);
}

Result<std::string> group_of_arn(const Call& call, const std::string& arn) {
  auto prefix = group_arn(call, "");
  if (!arn.starts_with(prefix))
    return error("InvalidParameterException", "'{}' is not the ARN of a log group of this account and region ({}NAME).", arn, prefix);
  auto name = arn.substr(prefix.size());
  if (name.ends_with(":*")) name.resize(name.size() - 2);
  return name;
}

Result<std::string> group_of(const Call& call, const std::optional<std::string>& name, const std::optional<std::string>& identifier) {
  if (name.has_value() == identifier.has_value())
    return error("InvalidParameterException", "Exactly one of logGroupName and logGroupIdentifier must be given.");
  if (name) return *name;
  return identifier->starts_with("arn:") ? group_of_arn(call, *identifier) : *identifier;
}

std::int64_t to_ns(std::int64_t ms) {
  constexpr std::int64_t kLimit = 9'223'372'036'854;  // 2^63 ns in ms: the year 2262
  return std::clamp(ms, -kLimit, kLimit) * 1'000'000;
}

namespace {

// Length of the valid UTF-8 sequence at the front; 0: none. Source: RFC 3629 section 4
std::size_t sequence_length(std::string_view text) {
  auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) { return byte(i) >= low && byte(i) <= high; };
  unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    unsigned low = first == 0xE0 ? 0xA0 : 0x80, high = first == 0xED ? 0x9F : 0xBF;
    return follows(1, low, high) && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    unsigned low = first == 0xF0 ? 0x90 : 0x80, high = first == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string to_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    auto length = sequence_length(bytes);
    if (length) out += bytes.substr(0, length);
    else out += "\xEF\xBF\xBD";
    bytes.remove_prefix(length ? length : 1);
  }
  return out;
}

}  // namespace watari::aws::logs
