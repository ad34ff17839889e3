#include "runtime/bundle.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/strings.h"
#include "oci/seccomp_filter.h"

namespace watari::runtime {
namespace {

using codec::Json;

bool contains(const std::vector<std::string>& list, const std::string& word) { return std::ranges::find(list, word) != list.end(); }

// In the order of their numbers. Source: capabilities(7), linux/capability.h
constexpr std::array kAllCapabilities{
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
    "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE"};

// Source: https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
constexpr std::array kDefaultCapabilities{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
                                          "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"};

// Source: https://github.com/moby/moby/blob/v27.0.0/oci/defaults.go
constexpr std::array kMaskedPaths{"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                  "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
                                  "/sys/devices/virtual/powercap"};
constexpr std::array kReadOnlyPaths{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

constexpr std::int64_t kMostProcesses = 8192;
constexpr std::int64_t kMiB = 1024 * 1024;

Json strings(const auto& list) {
  auto out = Json::array();
  for (const auto& item : list) out.push(Json(std::string_view(item)));
  return out;
}

Json mount(std::string_view destination, std::string_view type, std::string_view source, const std::vector<std::string>& options) {
  return Json::object({{"destination", destination}, {"type", type}, {"source", source}, {"options", strings(options)}});
}

Json kernel_mounts(const BundleInput& input) {
  const auto& definition = input.definition;
  bool privileged = definition.privileged;
  auto shm = definition.linux_parameters ? definition.linux_parameters->shared_memory_mib.value_or(64) : 64;
  auto access = privileged ? "rw" : "ro";
  auto out = Json::array();
  out.push(mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}));
  out.push(mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}));
  out.push(mount("/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}));
  out.push(mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=" + std::to_string(shm) + "m"}));
  out.push(mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  // A user namespace may not mount sysfs for a network namespace that it does not own; the shim's own /sys is of the task's network.
  if (privileged)
    out.push(mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}));
  else
    out.push(mount("/sys", "bind", "/sys", {"rbind", "nosuid", "noexec", "nodev", access}));
  out.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", access}));
  return out;
}

Json mounts(const BundleInput& input) {
  auto out = kernel_mounts(input);
  for (const auto& wanted : input.mounts)
    out.push(mount(wanted.destination, "bind", wanted.source, {"rbind", "nosuid", "nodev", wanted.read_only ? "ro" : "rw"}));
  return out;
}

Json resources(const BundleInput& input) {
  const auto& definition = input.definition;
  auto out = Json::object();
  out.set("devices", Json::array({Json::object({{"allow", definition.privileged}, {"access", "rwm"}})}));
  auto memory = Json::object();
  if (definition.memory_mib) memory.set("limit", *definition.memory_mib * kMiB);
  if (definition.memory_reservation_mib) memory.set("reservation", *definition.memory_reservation_mib * kMiB);
  if (!memory.as_object().empty()) out.set("memory", std::move(memory));
  // Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html (cpu: Linux takes 2 as the least)
  out.set("cpu", Json::object({{"shares", std::max<std::int64_t>(2, definition.cpu)}}));
  out.set("pids", Json::object({{"limit", kMostProcesses}}));
  return out;
}

Json linux_section(const BundleInput& input) {
  auto out = Json::object({{"cgroupsPath", "/" + input.cgroup}, {"resources", resources(input)}});
  auto namespaces = Json::array();
  for (auto* type : {"pid", "ipc", "uts", "mount", "cgroup"}) namespaces.push(Json::object({{"type", type}}));
  if (!input.definition.privileged) {
    namespaces.push(Json::object({{"type", "user"}}));
    auto ids = Json::array({Json::object({{"containerID", 0}, {"hostID", input.first_id}, {"size", 65536}})});
    out.set("uidMappings", ids);
    out.set("gidMappings", ids);
    out.set("maskedPaths", strings(kMaskedPaths));
    out.set("readonlyPaths", strings(kReadOnlyPaths));
    if (!input.seccomp.is_null()) out.set("seccomp", input.seccomp);
  }
  out.set("namespaces", std::move(namespaces));
  auto devices = Json::array();
  for (const auto& device : input.devices)
    devices.push(Json::object({{"path", device.path}, {"type", std::string(1, device.type)}, {"major", device.major}, {"minor", device.minor}}));
  if (!input.devices.empty()) out.set("devices", std::move(devices));
  auto sysctls = Json::object();
  // net.* is set by the shim: the network namespace belongs to the whole task.
  for (const auto& [name, value] : input.definition.system_controls)
    if (!name.starts_with("net.")) sysctls.set(name, value);
  if (!sysctls.as_object().empty()) out.set("sysctl", std::move(sysctls));
  return out;
}

Json rlimits(const model::ContainerDefinition& definition, std::int64_t open_files) {
  auto out = Json::array();
  auto add = [&](const std::string& name, std::int64_t soft, std::int64_t hard) {
    std::string type = "RLIMIT_";
    for (char c : name) type += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
    out.push(Json::object({{"type", type}, {"soft", soft}, {"hard", hard}}));
  };
  bool files = false;
  for (const auto& limit : definition.ulimits) {
    add(limit.name, limit.soft, limit.hard);
    files |= limit.name == "nofile";
  }
  if (!files) add("nofile", open_files, open_files);
  return out;
}

Result<Json> process(const BundleInput& input) {
  const auto& definition = input.definition;
  auto args = merged_command(definition, input.image);
  if (args.empty()) return fail(Code::FailedPrecondition, "No command specified: neither the image nor the container definition has one");
  if (!input.init_program.empty()) args.insert(args.begin(), {input.init_program, "init"});
  TRY(auto caps, capabilities(definition));
  std::erase_if(caps, [&](const std::string& cap) {
    auto number = std::ranges::find(kAllCapabilities, std::string_view(cap).substr(4)) - kAllCapabilities.begin();
    return !(input.available_capabilities >> number & 1);
  });
  auto cwd = definition.working_directory.empty() ? input.image.working_dir : definition.working_directory;
  auto user = Json::object({{"uid", static_cast<std::int64_t>(input.user.uid)}, {"gid", static_cast<std::int64_t>(input.user.gid)}});
  auto groups = Json::array();
  for (auto gid : input.user.groups) groups.push(static_cast<std::int64_t>(gid));
  if (!input.user.groups.empty()) user.set("additionalGids", std::move(groups));
  auto held = strings(caps);
  return Json::object({
      {"terminal", definition.pseudo_terminal},
      {"user", std::move(user)},
      {"args", strings(args)},
      {"env", strings(merged_environment(input))},
      {"cwd", cwd.empty() ? "/" : cwd},
      {"capabilities", Json::object({{"bounding", held}, {"effective", held}, {"permitted", held}})},
      {"rlimits", rlimits(definition, input.open_files)},
      {"noNewPrivileges", !definition.privileged},
      {"oomScoreAdj", 0},
  });
}

}  // namespace

std::vector<std::string> merged_command(const model::ContainerDefinition& definition, const oci::ImageConfig& image) {
  bool own_entry = !definition.entry_point.empty();
  auto out = own_entry ? definition.entry_point : image.entrypoint;
  if (!definition.command.empty())
    out.insert(out.end(), definition.command.begin(), definition.command.end());
  else if (!own_entry)
    out.insert(out.end(), image.cmd.begin(), image.cmd.end());
  return out;
}

std::vector<std::string> merged_environment(const BundleInput& input) {
  std::map<std::string, std::string> values{{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
                                            {"HOSTNAME", input.hostname}, {"HOME", input.user.home}};
  if (input.definition.pseudo_terminal) values["TERM"] = "xterm";
  for (const auto& entry : input.image.env) {
    auto equals = entry.find('=');
    values[entry.substr(0, equals)] = equals == std::string::npos ? "" : entry.substr(equals + 1);
  }
  for (const auto& [name, value] : input.definition.environment) values[name] = value;
  for (const auto& [name, value] : input.secrets) values[name] = value;
  std::vector<std::string> out;
  for (const auto& [name, value] : values) out.push_back(name + "=" + value);
  return out;
}

Result<std::vector<std::string>> capabilities(const model::ContainerDefinition& definition) {
  std::set<std::string> held(kDefaultCapabilities.begin(), kDefaultCapabilities.end());
  const std::set<std::string> all(kAllCapabilities.begin(), kAllCapabilities.end());
  auto plain = [](std::string name) { return name.starts_with("CAP_") ? name.substr(4) : name; };
  auto check = [&](const std::vector<std::string>& names) -> Result<void> {
    for (const auto& name : names)
      if (name != "ALL" && !all.contains(plain(name))) return fail(Code::InvalidArgument, "there is no capability {}", name);
    return {};
  };
  if (definition.linux_parameters) {
    const auto& wanted = *definition.linux_parameters;
    TRY_VOID(check(wanted.add_capabilities));
    TRY_VOID(check(wanted.drop_capabilities));
    if (contains(wanted.drop_capabilities, "ALL")) held.clear();
    if (contains(wanted.add_capabilities, "ALL")) held = all;
    for (const auto& name : wanted.add_capabilities)
      if (name != "ALL") held.insert(plain(name));
    for (const auto& name : wanted.drop_capabilities) held.erase(plain(name));
  }
  if (definition.privileged) held = all;
  std::vector<std::string> out;
  for (const auto& name : held) out.push_back("CAP_" + name);
  return out;
}

int signal_number(const std::string& name) {
  if (auto number = parse_number<int>(name)) return *number > 0 && *number < 65 ? *number : SIGTERM;
  static const std::map<std::string, int> kNumbers{{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"ABRT", SIGABRT},
                                                   {"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"ALRM", SIGALRM},
                                                   {"TERM", SIGTERM}, {"CONT", SIGCONT}, {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},
                                                   {"WINCH", SIGWINCH}, {"PWR", SIGPWR}};
  auto found = kNumbers.find(name.starts_with("SIG") ? name.substr(3) : name);
  if (found != kNumbers.end()) return found->second;
  if (name.starts_with("SIGRTMIN+"))
    if (auto number = parse_number<int>(name.substr(9)); number && *number >= 0 && *number <= 30) return 34 + *number;
  return SIGTERM;
}

Result<Json> make_config(const BundleInput& input) {
  TRY(auto run, process(input));
  auto confinement = linux_section(input);
  return Json::object({
      {"ociVersion", "1.0.2"},
      {"annotations", oci::seccomp_annotations(confinement["seccomp"])},
      {"process", std::move(run)},
      {"root", Json::object({{"path", input.rootfs}, {"readonly", input.definition.read_only_root}})},
      {"hostname", input.hostname},
      {"mounts", mounts(input)},
      {"linux", std::move(confinement)},
  });
}

}  // namespace watari::runtime
