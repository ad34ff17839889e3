// Source: https://github.com/containers/common/blob/v0.50.1/pkg/seccomp/types.go (the profile's format)
#include <algorithm>

#include "runtime/bundle.h"

namespace watari::runtime {
namespace {

using codec::Json;

#if defined(__aarch64__)
constexpr std::string_view kArch = "arm64", kSeccompArch = "SCMP_ARCH_AARCH64";
#else
constexpr std::string_view kArch = "amd64", kSeccompArch = "SCMP_ARCH_X86_64";
#endif

bool contains(const Json& list, std::string_view word) {
  return std::ranges::any_of(list.as_array(), [&](const Json& item) { return item.as_string() == word; });
}

bool held(const std::vector<std::string>& caps, const Json& cap) { return std::ranges::find(caps, cap.as_string()) != caps.end(); }

bool all_held(const Json& wanted, const std::vector<std::string>& caps) {
  return std::ranges::all_of(wanted.as_array(), [&](const Json& cap) { return held(caps, cap); });
}
bool any_held(const Json& unwanted, const std::vector<std::string>& caps) {
  return std::ranges::any_of(unwanted.as_array(), [&](const Json& cap) { return held(caps, cap); });
}

bool applies(const Json& rule, const std::vector<std::string>& caps) {
  const auto& includes = rule["includes"];
  const auto& excludes = rule["excludes"];
  if (!includes["arches"].as_array().empty() && !contains(includes["arches"], kArch)) return false;
  if (contains(excludes["arches"], kArch)) return false;
  return all_held(includes["caps"], caps) && !any_held(excludes["caps"], caps);
}

}  // namespace

Result<Json> seccomp_for(const Json& profile, const std::vector<std::string>& caps) {
  if (!profile["syscalls"].is_array()) return fail(Code::Corrupt, "the seccomp profile has no list of system calls");
  auto out = Json::object({{"defaultAction", profile["defaultAction"]}});
  if (profile["defaultErrnoRet"].is_int()) out.set("defaultErrnoRet", profile["defaultErrnoRet"]);
  for (const auto& entry : profile["archMap"].as_array()) {
    if (entry["architecture"].as_string() != kSeccompArch) continue;
    auto architectures = Json::array({entry["architecture"]});
    for (const auto& sub : entry["subArchitectures"].as_array()) architectures.push(sub);
    out.set("architectures", std::move(architectures));
  }
  auto rules = Json::array();
  for (const auto& rule : profile["syscalls"].as_array()) {
    if (!applies(rule, caps)) continue;
    auto copy = Json::object({{"names", rule["names"]}, {"action", rule["action"]}});
    if (!rule["args"].as_array().empty()) copy.set("args", rule["args"]);
    if (rule["errnoRet"].is_int()) copy.set("errnoRet", rule["errnoRet"]);
    rules.push(std::move(copy));
  }
  out.set("syscalls", std::move(rules));
  return out;
}

}  // namespace watari::runtime
