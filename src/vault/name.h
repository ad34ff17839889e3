#pragma once
// Parameter names. Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/scope.h"

namespace watari::vault {

// InvalidArgument or PermissionDenied (reserved), worded and named (Error::reason) as SSM does.
Result<void> check_name(std::string_view name);

// How callers refer to a parameter: "name", "name:3", or an ARN with either.
struct Reference {
  std::string name;
  std::optional<std::int64_t> version;
};
// An ARN of another scope is NotFound; labels ("name:prod") are refused by name.
Result<Reference> parse_reference(const model::Scope& scope, std::string_view text);

std::string parameter_arn(const model::Scope& scope, std::string_view name);

// Is `name` below the hierarchy `path` ("/a", "/a/", "/"), at any depth or directly?
bool is_below(std::string_view name, std::string_view path, bool recursive);

}  // namespace watari::vault
