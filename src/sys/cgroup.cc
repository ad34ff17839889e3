#include "sys/cgroup.h"

#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <thread>

#include "base/strings.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace watari::sys {
namespace {

namespace fs = std::filesystem;

std::int64_t read_number(const std::string& path) {
  auto text = read_file(path);
  return text ? parse_number<std::int64_t>(trim(*text)).value_or(0) : 0;
}

// "oom_kill 3" among the lines of a file.
std::int64_t read_field(const std::string& path, std::string_view name) {
  auto text = read_file(path);
  if (!text) return 0;
  for (const auto& line : split(*text, '\n')) {
    auto words = split(line, ' ');
    if (words.size() == 2 && words[0] == name) return parse_number<std::int64_t>(words[1]).value_or(0);
  }
  return 0;
}

std::vector<std::string> directories(const std::string& path) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    if (it->is_directory(error) && !it->is_symlink(error)) out.push_back(it->path().filename().string());
  return out;
}

void collect_processes(const std::string& directory, std::set<int>& out) {
  if (auto text = read_file(directory + "/cgroup.procs"))
    for (const auto& line : split(*text, '\n'))
      if (auto pid = parse_number<int>(line)) out.insert(*pid);
  for (const auto& child : directories(directory)) collect_processes(directory + "/" + child, out);
}

Result<void> remove_directory(const std::string& directory) {
  for (const auto& child : directories(directory)) TRY_VOID(remove_directory(directory + "/" + child));
  // A group whose last process has just ended stays busy for a moment.
  for (int attempt = 0;; ++attempt) {
    if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return {};
    if (errno != EBUSY) return fail_errno("remove cgroup " + directory);
    if (attempt == 100) return fail(Code::Conflict, "cgroup {} still has processes", directory);
    std::this_thread::sleep_for(Millis(attempt < 20 ? 1 : 10));
  }
}

Result<void> make_v2_path(const std::string& mount, const std::string& path) {
  std::string directory = mount;
  for (const auto& part : split(path, '/')) {
    // A controller that is missing here shows when its limit is set.
    for (auto* controller : {"+memory", "+cpu", "+pids"}) (void)write_file(directory + "/cgroup.subtree_control", controller);
    directory += "/" + part;
    if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno("make cgroup " + directory);
  }
  return {};
}

constexpr std::int64_t kCpuPeriod = 100'000;  // microseconds

}  // namespace

Result<Cgroups> Cgroups::detect(const std::string& mount) {
  Cgroups groups;
  groups.mount_ = mount;
  struct statfs info{};
  if (::statfs(mount.c_str(), &info) != 0) return fail_errno("look at " + mount);
  if (info.f_type == CGROUP2_SUPER_MAGIC) {
    auto controllers = read_file(mount + "/cgroup.controllers").value_or("");
    if (controllers.find("memory") == std::string::npos)
      return fail(Code::FailedPrecondition, "{} has no memory controller; enable it (kernel option cgroup_enable=memory)", mount);
    return groups;
  }
  groups.layout_ = Layout::V1;
  for (const auto& name : directories(mount)) {
    if (::statfs((mount + "/" + name).c_str(), &info) != 0) continue;
    if (info.f_type == CGROUP2_SUPER_MAGIC) groups.layout_ = Layout::Hybrid;
    if (info.f_type != CGROUP_SUPER_MAGIC) continue;
    groups.hierarchies_.push_back(name);
    for (const auto& controller : split(name, ',')) {
      if (controller == "memory") groups.memory_ = name;
      if (controller == "cpu") groups.cpu_ = name;
      if (controller == "cpuacct") groups.cpuacct_ = name;
      if (controller == "pids") groups.pids_ = name;
    }
  }
  if (groups.memory_.empty() || groups.pids_.empty())
    return fail(Code::FailedPrecondition, "{} shows neither cgroup v2 nor the v1 controllers memory and pids; mount them", mount);
  return groups;
}

std::string Cgroups::directory(const std::string& hierarchy, const std::string& path) const {
  return mount_ + (hierarchy.empty() ? "" : "/" + hierarchy) + (path.empty() ? "" : "/" + path);
}

std::string Cgroups::controller_directory(const std::string& controller, const std::string& path) const {
  if (layout_ == Layout::V2) return directory("", path);
  return directory(controller == "memory" ? memory_ : controller == "cpu" ? cpu_ : controller == "cpuacct" ? cpuacct_ : pids_, path);
}

Result<void> Cgroups::create(const std::string& path, const CgroupLimits& limits) const {
  if (layout_ == Layout::V2) {
    TRY_VOID(make_v2_path(mount_, path));
  } else {
    for (const auto* hierarchy : {&memory_, &pids_, &cpu_, &cpuacct_})
      if (!hierarchy->empty()) TRY_VOID(make_directories(directory(*hierarchy, path)));
  }
  bool v2 = layout_ == Layout::V2;
  if (limits.memory_bytes)
    TRY_VOID(write_file(controller_directory("memory", path) + (v2 ? "/memory.max" : "/memory.limit_in_bytes"),
                        std::to_string(*limits.memory_bytes)));
  if (limits.processes)
    TRY_VOID(write_file(controller_directory("pids", path) + "/pids.max", std::to_string(*limits.processes)));
  if (limits.cpus) {
    auto quota = std::max<std::int64_t>(1000, static_cast<std::int64_t>(*limits.cpus * kCpuPeriod));
    auto cpu = controller_directory("cpu", path);
    if (v2) return write_file(cpu + "/cpu.max", std::to_string(quota) + " " + std::to_string(kCpuPeriod));
    if (fs::exists(cpu + "/cpu.cfs_quota_us")) return write_file(cpu + "/cpu.cfs_quota_us", std::to_string(quota));
  }
  return {};
}

Result<void> Cgroups::add_process(const std::string& path, int pid) const {
  auto text = std::to_string(pid);
  if (layout_ == Layout::V2) return write_file(directory("", path) + "/cgroup.procs", text);
  for (const auto* hierarchy : {&memory_, &pids_, &cpu_, &cpuacct_})
    if (!hierarchy->empty()) TRY_VOID(write_file(directory(*hierarchy, path) + "/cgroup.procs", text));
  return {};
}

std::vector<int> Cgroups::processes(const std::string& path) const {
  std::set<int> found;
  // Both in memory and in pids: a runtime that is just placing its process has perhaps reached only one of them.
  collect_processes(controller_directory("memory", path), found);
  if (layout_ != Layout::V2) collect_processes(controller_directory("pids", path), found);
  return {found.begin(), found.end()};
}

Result<void> Cgroups::kill_all(const std::string& path, Millis timeout) const {
  auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    if (layout_ == Layout::V2) (void)write_file(directory("", path) + "/cgroup.kill", "1");
    auto left = processes(path);
    if (left.empty()) return {};
    for (int pid : left) ::kill(pid, SIGKILL);
    if (std::chrono::steady_clock::now() > deadline)
      return fail(Code::DeadlineExceeded, "{} processes of cgroup {} do not end after SIGKILL", left.size(), path);
    std::this_thread::sleep_for(Millis(1));
  }
}

Result<void> Cgroups::remove(const std::string& path) const {
  if (layout_ == Layout::V2) return remove_directory(directory("", path));
  Result<void> result;
  for (const auto& hierarchy : hierarchies_) {
    if (auto removed = remove_directory(directory(hierarchy, path)); !removed) result = removed;
  }
  if (layout_ == Layout::Hybrid)
    if (auto removed = remove_directory(directory("unified", path)); !removed) result = removed;
  return result;
}

std::int64_t Cgroups::oom_kills(const std::string& path) const {
  auto directory = controller_directory("memory", path);
  return read_field(directory + (layout_ == Layout::V2 ? "/memory.events" : "/memory.oom_control"), "oom_kill");
}

std::optional<CgroupUsage> Cgroups::usage(const std::string& path) const {
  auto memory = controller_directory("memory", path);
  if (!fs::exists(memory)) return std::nullopt;
  CgroupUsage usage;
  bool v2 = layout_ == Layout::V2;
  usage.memory_bytes = read_number(memory + (v2 ? "/memory.current" : "/memory.usage_in_bytes"));
  usage.memory_peak_bytes = read_number(memory + (v2 ? "/memory.peak" : "/memory.max_usage_in_bytes"));
  usage.processes = read_number(controller_directory("pids", path) + "/pids.current");
  usage.cpu_ns = v2 ? read_field(memory + "/cpu.stat", "usage_usec") * 1000
                    : read_number(controller_directory("cpuacct", path) + "/cpuacct.usage");
  return usage;
}

std::vector<std::string> Cgroups::children(const std::string& path) const {
  std::set<std::string> found;
  auto add = [&](const std::string& in) {
    for (auto& name : directories(in)) found.insert(name);
  };
  if (layout_ == Layout::V2) add(directory("", path));
  for (const auto& hierarchy : hierarchies_) add(directory(hierarchy, path));
  return {found.begin(), found.end()};
}

}  // namespace watari::sys
