#include "oci/seccomp.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace watari::oci {
namespace {

using codec::Json;

#if defined(__aarch64__)
constexpr std::string_view kArch = "arm64", kSeccompArch = "SCMP_ARCH_AARCH64";
#else
constexpr std::string_view kArch = "amd64", kSeccompArch = "SCMP_ARCH_X86_64";
#endif

bool contains(const Json& list, std::string_view name) {
  return std::ranges::any_of(list.as_array(), [&](const Json& item) { return item.as_string() == name; });
}

bool applies(const Json& rule, const std::vector<std::string>& capabilities) {
  auto held = [&](const Json& name) { return std::ranges::find(capabilities, name.as_string()) != capabilities.end(); };
  const Json& includes = rule["includes"];
  const Json& excludes = rule["excludes"];
  if (!includes["arches"].as_array().empty() && !contains(includes["arches"], kArch)) return false;
  if (contains(excludes["arches"], kArch)) return false;
  if (!std::ranges::all_of(includes["caps"].as_array(), held)) return false;
  return !std::ranges::any_of(excludes["caps"].as_array(), held);
}

}  // namespace

Result<Json> convert_seccomp(std::string_view profile, const std::vector<std::string>& capabilities) {
  TRY(auto source, codec::parse_json(profile));
  if (!source["defaultAction"].is_string() || !source["syscalls"].is_array())
    return fail(Code::Corrupt, "no seccomp profile: defaultAction or syscalls is missing");
  auto architectures = Json::array({Json(kSeccompArch)});
  for (const auto& arch : source["archMap"].as_array()) {
    if (arch["architecture"].as_string() != kSeccompArch) continue;
    for (const auto& sub : arch["subArchitectures"].as_array()) architectures.push(sub);
  }
  auto out = Json::object({{"defaultAction", source["defaultAction"]}});
  if (source["defaultErrnoRet"].is_int()) out.set("defaultErrnoRet", source["defaultErrnoRet"]);
  out.set("architectures", std::move(architectures));
  auto syscalls = Json::array();
  for (const auto& rule : source["syscalls"].as_array()) {
    if (!applies(rule, capabilities)) continue;
    auto kept = Json::object({{"names", rule["names"]}, {"action", rule["action"]}});
    if (rule["errnoRet"].is_int()) kept.set("errnoRet", rule["errnoRet"]);
    if (!rule["args"].as_array().empty()) kept.set("args", rule["args"]);
    syscalls.push(std::move(kept));
  }
  out.set("syscalls", std::move(syscalls));
  return out;
}

Result<Json> load_seccomp(const std::vector<std::string>& capabilities, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return fail(Code::NotFound, "no seccomp profile at {}; install the package golang-github-containers-common", path);
  std::ostringstream text;
  text << file.rdbuf();
  auto profile = convert_seccomp(text.view(), capabilities);
  if (!profile) return fail(profile.error().within(path));
  return profile;
}

const std::vector<std::string>& default_capabilities() {
  static const std::vector<std::string> list{"CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_FOWNER",  "CAP_FSETID", "CAP_KILL",      "CAP_NET_BIND_SERVICE",
                                             "CAP_SETFCAP", "CAP_SETGID",       "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"};
  return list;
}

}  // namespace watari::oci
