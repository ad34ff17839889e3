#pragma once
// What the CloudWatch Logs handlers share: ARNs, and errors in the service's words.
#include <optional>
#include <string>

#include "aws/call.h"
#include "logs/store.h"

namespace watari::aws::logs {

using ::watari::logs::LogStore;

inline LogStore& store(const Call& call) { return *call.platform.logs; }

std::string group_arn(const Call& call, const std::string& group);
// The group of logGroupName or logGroupIdentifier (a name or an ARN), exactly one of which must be given.
Result<std::string> group_of(const Call& call, const std::optional<std::string>& name, const std::optional<std::string>& identifier);
// "arn:aws:logs:…:log-group:NAME", with or without ":*" at the end.
Result<std::string> group_of_arn(const Call& call, const std::string& arn);

// Bytes that are not UTF-8 cannot be sent as JSON; each becomes U+FFFD.
std::string to_utf8(std::string_view bytes);

// Milliseconds of the API -> nanoseconds of the store, without overflow.
std::int64_t to_ns(std::int64_t ms);
inline std::int64_t to_ms(std::int64_t ns) { return ns >= 0 ? ns / 1'000'000 : -((-ns + 999'999) / 1'000'000); }

}  // namespace watari::aws::logs
