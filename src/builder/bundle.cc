// The OCI bundle of a build step.
// Source: https://github.com/opencontainers/runtime-spec/blob/main/config.md
#include "builder/bundle.h"

#include <mutex>
#include <optional>

#include "oci/seccomp.h"
#include "oci/seccomp_filter.h"

namespace watari::builder {

using codec::Json;

namespace {

Json strings(const std::vector<std::string>& items) {
  auto list = Json::array();
  for (const auto& item : items) list.push(Json(item));
  return list;
}

Json mount(std::string target, std::string type, std::string source, const std::vector<std::string>& options) {
  return Json::object({{"destination", Json(std::move(target))}, {"type", Json(std::move(type))}, {"source", Json(std::move(source))},
                       {"options", strings(options)}});
}

Json mounts(const SandboxOptions& options) {
  auto list = Json::array({
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount("/etc/resolv.conf", "bind", "/etc/resolv.conf", {"bind", "ro"}),
      mount("/etc/hosts", "bind", "/etc/hosts", {"bind", "ro"}),
  });
  for (const auto& [target, size] : options.tmpfs) {
    std::vector<std::string> how{"nosuid", "nodev", "mode=1777"};
    if (size > 0) how.push_back("size=" + std::to_string(size));
    list.push(mount(target, "tmpfs", "tmpfs", how));
  }
  for (const auto& bind : options.binds)
    list.push(mount(bind.target, "bind", bind.source, {"bind", "nodev", "nosuid", bind.read_only ? "ro" : "rw"}));
  return list;
}

Json process(const SandboxOptions& options, const std::vector<std::string>& capabilities) {
  // The primary group is a supplementary one too: a file that denies it to its group must not open to others (CVE-2022-36109).
  auto groups = Json::array({Json(std::int64_t{options.user.owner.gid})});
  for (auto group : options.user.groups) groups.push(Json(std::int64_t{group}));
  auto held = strings(capabilities);
  bool root = options.user.owner.uid == 0;
  auto effective = root ? held : Json::array();
  return Json::object({
      {"terminal", false},
      {"user", Json::object({{"uid", Json(std::int64_t{options.user.owner.uid})}, {"gid", Json(std::int64_t{options.user.owner.gid})},
                             {"additionalGids", groups}, {"umask", 18}})},
      {"args", strings(options.argv)},
      {"env", strings(options.env)},
      {"cwd", options.cwd},
      {"capabilities", Json::object({{"bounding", held}, {"effective", effective}, {"permitted", effective}})},
      {"noNewPrivileges", false},
  });
}

// Read once; a failure is tried again.
Result<Json> default_seccomp() {
  static std::mutex mutex;
  static std::optional<Json> known;
  std::lock_guard lock(mutex);
  if (!known) {
    TRY(known, oci::load_seccomp(oci::default_capabilities()));
  }
  return *known;
}

}  // namespace

Result<Json> make_bundle(const SandboxOptions& options) {
  const auto& capabilities = oci::default_capabilities();
  TRY(auto seccomp, default_seccomp());
  auto namespaces = Json::array();
  for (const char* type : {"pid", "ipc", "uts", "mount"}) namespaces.push(Json::object({{"type", type}}));
  if (!options.network) namespaces.push(Json::object({{"type", "network"}}));
  return Json::object({
      {"ociVersion", "1.0.2"},
      {"root", Json::object({{"path", options.root.string()}})},
      {"hostname", "build"},
      {"annotations", oci::seccomp_annotations(seccomp)},
      {"process", process(options, capabilities)},
      {"mounts", mounts(options)},
      {"linux", Json::object({
                    {"namespaces", namespaces},
                    {"seccomp", seccomp},
                    {"maskedPaths", strings({"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                                             "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/fs/cgroup"})},
                    {"readonlyPaths", strings({"/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"})},
                })},
  });
}

}  // namespace watari::builder
