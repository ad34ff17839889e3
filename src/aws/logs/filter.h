#pragma once
// CloudWatch Logs' filter patterns.
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace watari::aws::logs {

using Matcher = std::function<bool(std::string_view)>;

// Terms (`ERROR "two words" -not ?any ?of`) and JSON selectors (`{ $.status >= 500 && $.path = "/api/*" }`). Empty: a null
// Matcher, everything matches. Refuses space-delimited patterns (`[a, b]`) and regular expressions (`%…%`) by name.
Result<Matcher> parse_filter(std::string_view pattern);

}  // namespace watari::aws::logs
