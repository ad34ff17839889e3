#include "vault/name.h"

#include <algorithm>
#include <cctype>

#include "base/strings.h"

namespace watari::vault {
namespace {

constexpr std::size_t kLongestName = 1011;
constexpr std::size_t kMaxLevels = 15;

auto refuse(std::string reason, std::string message, Code code = Code::InvalidArgument) {
  return fail(Error{code, std::move(message), std::move(reason)});
}

bool fine(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-' || c == '/'; }

}  // namespace

Result<void> check_name(std::string_view name) {
  constexpr std::string_view kRules =
      "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash "
      "symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_";
  auto bare = to_lower(name.starts_with('/') ? name.substr(1) : name);
  if (bare.starts_with("aws")) return refuse("AccessDeniedException", fmt::format("No access to reserved parameter name: {}.", name), Code::PermissionDenied);
  bool path = name.find('/') != std::string_view::npos;
  if (name.empty() || bare.empty() || !std::ranges::all_of(name, fine) || bare.starts_with("ssm") || name.ends_with('/') ||
      name.find("//") != std::string_view::npos)
    return refuse("ValidationException", std::string(kRules));
  if (path && !name.starts_with('/')) return refuse("ValidationException", "Parameter name must be a fully qualified name.");
  if (name.size() > kLongestName)
    return refuse("ValidationException", fmt::format("Parameter name: can't be longer than {} characters.", kLongestName));
  if (path && static_cast<std::size_t>(std::ranges::count(name, '/')) > kMaxLevels)
    return refuse("HierarchyLevelLimitExceededException",
                  fmt::format("Hierarchy limit exceeded. A parameter name can have at most {} levels.", kMaxLevels));
  return {};
}

Result<Reference> parse_reference(const model::Scope& scope, std::string_view text) {
  Reference out;
  auto rest = text;
  if (text.starts_with("arn:")) {
    auto parts = split(text, ':');  // arn:aws:ssm:region:account:parameter/name[:selector]
    if (parts.size() < 6 || parts[2] != "ssm" || !parts[5].starts_with("parameter/"))
      return refuse("ValidationException", fmt::format("'{}' is not the ARN of a parameter.", text));
    if (parts[3] != scope.region || parts[4] != scope.account)
      return refuse("ParameterNotFound", fmt::format("Parameter {} is of another account or region.", text), Code::NotFound);
    // The ARN of "/a/b" is parameter/a/b, and that of "a" is parameter/a: a slash inside tells which it was.
    auto name = parts[5].substr(std::string_view("parameter/").size());
    out.name = name.find('/') == std::string::npos ? name : "/" + name;
    rest = parts.size() > 6 ? text.substr(text.rfind(':')) : std::string_view{};
  } else {
    auto colon = text.find(':');
    out.name = std::string(text.substr(0, colon));
    rest = colon == std::string_view::npos ? std::string_view{} : text.substr(colon);
  }
  if (!rest.empty()) {
    auto version = parse_number<std::int64_t>(rest.substr(1));
    if (!version)
      return refuse("ValidationException", fmt::format("Parameter labels are not supported by Watari: refer to '{}' by a version, as in {}:3.",
                                                       text, out.name));
    out.version = version;
  }
  return out;
}

std::string parameter_arn(const model::Scope& scope, std::string_view name) {
  return fmt::format("arn:aws:ssm:{}:{}:parameter{}{}", scope.region, scope.account, name.starts_with('/') ? "" : "/", name);
}

bool is_below(std::string_view name, std::string_view path, bool recursive) {
  auto prefix = std::string(path);
  if (!prefix.ends_with('/')) prefix += '/';
  if (!name.starts_with(prefix) || name.size() == prefix.size()) return false;
  return recursive || name.find('/', prefix.size()) == std::string_view::npos;
}

}  // namespace watari::vault
