#include "oci/seccomp_filter.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "base/digest.h"
#include "base/late_library.h"
#include "base/log.h"
#include "oci/files.h"

namespace watari::oci {
namespace {

using codec::Json;

struct Libseccomp {
  LateLibrary library{"libseccomp.so.2"};
  WATARI_LATE(seccomp_arch_add);
  WATARI_LATE(seccomp_arch_resolve_name);
  WATARI_LATE(seccomp_export_bpf);
  WATARI_LATE(seccomp_init);
  WATARI_LATE(seccomp_release);
  WATARI_LATE(seccomp_rule_add_array);
  WATARI_LATE(seccomp_syscall_resolve_name);
};

const Libseccomp& lib() {
  static const Libseccomp library;
  return library;
}

auto unknown(std::string_view what, const std::string& value) { return fail(Code::FailedPrecondition, "seccomp profile: {} {} is not known", what, value); }

Result<std::uint32_t> action_of(const std::string& name, const Json& errno_value) {
  static const std::map<std::string_view, std::uint32_t> kActions{{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW}, {"SCMP_ACT_LOG", SCMP_ACT_LOG},
                                                                  {"SCMP_ACT_KILL", SCMP_ACT_KILL},   {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
                                                                  {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS}};
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(static_cast<std::uint32_t>(errno_value.as_int(EPERM)));
  auto found = kActions.find(name);
  return found == kActions.end() ? Result<std::uint32_t>(unknown("action", name)) : found->second;
}

Result<scmp_compare> comparison_of(const std::string& name) {
  static const std::map<std::string_view, scmp_compare> kOperators{{"SCMP_CMP_NE", SCMP_CMP_NE}, {"SCMP_CMP_LT", SCMP_CMP_LT}, {"SCMP_CMP_LE", SCMP_CMP_LE},
                                                                   {"SCMP_CMP_EQ", SCMP_CMP_EQ}, {"SCMP_CMP_GE", SCMP_CMP_GE}, {"SCMP_CMP_GT", SCMP_CMP_GT},
                                                                   {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  auto found = kOperators.find(name);
  return found == kOperators.end() ? Result<scmp_compare>(unknown("operator", name)) : found->second;
}

Result<std::vector<scmp_arg_cmp>> arguments_of(const Json& rule) {
  std::vector<scmp_arg_cmp> arguments;
  std::set<std::int64_t> seen;
  for (const auto& each : rule["args"].as_array()) {
    TRY(auto comparison, comparison_of(each["op"].as_string()));
    // crun takes several conditions on one argument as alternatives.
    if (!seen.insert(each["index"].as_int()).second || seen.size() > 6) return unknown("rule with args", rule["args"].dump());
    arguments.push_back({static_cast<unsigned>(each["index"].as_int()), comparison, static_cast<scmp_datum_t>(each["value"].as_int()),
                         static_cast<scmp_datum_t>(each["valueTwo"].as_int())});
  }
  return arguments;
}

Result<void> add_rule(scmp_filter_ctx filter, const Json& rule, std::uint32_t default_action) {
  TRY(auto action, action_of(rule["action"].as_string(), rule["errnoRet"]));
  if (action == default_action) return {};
  TRY(auto arguments, arguments_of(rule));
  for (const auto& name : rule["names"].as_array()) {
    const int number = lib().seccomp_syscall_resolve_name(name.as_string().c_str());
    if (number == __NR_SCMP_ERROR) continue;  // newer than the library
    const int status = lib().seccomp_rule_add_array(filter, action, number, static_cast<unsigned>(arguments.size()), arguments.data());
    if (status < 0) return fail(Code::FailedPrecondition, "seccomp profile: rule for {}: {}", name.as_string(), std::strerror(-status));
  }
  return {};
}

Result<std::string> exported(scmp_filter_ctx filter) {
  Fd file(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) return fail(os_error("memfd_create", "seccomp"));
  if (const int status = lib().seccomp_export_bpf(filter, file.get()); status < 0) return fail(Code::Internal, "export a seccomp filter: {}", std::strerror(-status));
  std::string program(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
  if (::pread(file.get(), program.data(), program.size(), 0) != static_cast<ssize_t>(program.size())) return fail(os_error("read", "a seccomp filter"));
  return program;
}

}  // namespace

Result<std::string> compile_seccomp(const Json& profile) {
  TRY_VOID(lib().library.ready());
  for (const auto& [name, value] : profile.as_object())
    if (name != "defaultAction" && name != "defaultErrnoRet" && name != "architectures" && name != "syscalls") return unknown("member", name);
  TRY(auto default_action, action_of(profile["defaultAction"].as_string(), profile["defaultErrnoRet"]));
  std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(lib().seccomp_init(default_action), lib().seccomp_release);
  if (!filter) return fail(Code::Internal, "cannot begin a seccomp filter");
  for (const auto& each : profile["architectures"].as_array()) {
    auto name = each.as_string();
    constexpr std::string_view kPrefix = "SCMP_ARCH_";
    if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    const auto token = lib().seccomp_arch_resolve_name(name.c_str());
    const int status = token == 0 ? -EINVAL : lib().seccomp_arch_add(filter.get(), token);
    if (status < 0 && status != -EEXIST) return unknown("architecture", each.as_string());
  }
  for (const auto& rule : profile["syscalls"].as_array()) TRY_VOID(add_rule(filter.get(), rule, default_action));
  return exported(filter.get());
}

Json seccomp_annotations(const Json& profile) {
  if (profile.is_null()) return Json::object();
  static std::mutex mutex;
  static std::map<Sha256, Json> known;
  const auto key = sha256(profile.dump());
  std::lock_guard lock(mutex);
  if (auto found = known.find(key); found != known.end()) return found->second;
  auto annotations = Json::object();
  if (auto program = compile_seccomp(profile)) annotations.set("run.oci.seccomp_bpf_data", base64(*program));
  else log::warn("containers start more slowly: {}", program.error().message);
  return known[key] = std::move(annotations);
}

}  // namespace watari::oci
