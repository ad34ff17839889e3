#include "surroundings.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/strings.h"
#include "sys/files.h"

namespace watari::shim {
namespace {

Result<void> move_mount(const std::string& from, const std::string& to) {
  if (::mount(from.c_str(), to.c_str(), nullptr, MS_MOVE, nullptr) != 0) return sys::fail_errno("move mount " + from + " to " + to);
  return {};
}

// A fresh sysfs shows the network devices of our network namespace; the cgroup file systems are put back on top of it.
Result<void> replace_sys(const std::string& scratch, const sys::Cgroups& cgroups) {
  auto groups = scratch + "/cgroup";
  TRY_VOID(sys::make_directories(groups));
  if (cgroups.layout() == sys::Cgroups::Layout::V2) {
    TRY_VOID(sys::bind_mount("/sys/fs/cgroup", groups));
  } else {
    TRY_VOID(sys::mount_tmpfs(groups, "mode=755,size=64k"));
    for (const auto& hierarchy : cgroups.hierarchies()) {
      TRY_VOID(sys::make_directories(groups + "/" + hierarchy));
      TRY_VOID(sys::bind_mount("/sys/fs/cgroup/" + hierarchy, groups + "/" + hierarchy));
    }
  }
  if (::mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) return sys::fail_errno("mount sysfs");
  return move_mount(groups, "/sys/fs/cgroup");
}

Result<void> enter_network(const runtime::ShimSetup& setup) {
  sys::Fd space(::open(setup.network_namespace.c_str(), O_RDONLY | O_CLOEXEC));
  if (!space) return sys::fail_errno("open network namespace " + setup.network_namespace);
  if (::setns(space.get(), CLONE_NEWNET) != 0) return sys::fail_errno("enter network namespace " + setup.network_namespace);
  for (const auto& [name, value] : setup.sysctls) {
    auto path = "/proc/sys/" + name;
    for (auto& c : path)
      if (c == '.') c = '/';
    TRY_VOID(sys::write_file(path, value));
  }
  return {};
}

// Directory inside the image, symbolic links followed as inside the container; no descriptor when it is not there.
sys::Fd open_in_root(const std::string& root, const std::string& path) {
  sys::Fd top(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  return sys::Fd(static_cast<int>(::syscall(SYS_openat2, top.get(), path.c_str(), &how, sizeof how)));
}

// Containers may be given any limit up to these; in their user namespaces nobody can raise one.
void raise_limits() {
  auto files = parse_number<rlim_t>(trim(sys::read_file("/proc/sys/fs/nr_open").value_or(""))).value_or(1048576);
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    rlimit limit{};
    auto which = static_cast<__rlimit_resource>(resource);
    if (::getrlimit(which, &limit) != 0) continue;
    limit.rlim_max = resource == RLIMIT_NOFILE ? files : RLIM_INFINITY;
    (void)::setrlimit(which, &limit);
  }
}

}  // namespace

Result<void> enter_surroundings(const std::string& directory, const runtime::ShimSetup& setup, const sys::Cgroups& cgroups) {
  TRY_VOID(cgroups.add_process(setup.cgroup, 0));
  raise_limits();
  char go = 0;
  if (::read(0, &go, 1) != 1) return fail(Code::Cancelled, "the daemon gave up starting this task");
  TRY_VOID(enter_network(setup));
  TRY_VOID(sys::enter_private_mounts());
  // Our copies of the names of network namespaces would keep those alive that the daemon removes.
  while (::umount2("/run/netns", MNT_DETACH) == 0) {
  }
  auto mounts = runtime::mount_directory(directory);
  TRY_VOID(sys::make_directories(mounts, 0755));
  TRY_VOID(sys::mount_tmpfs(mounts, "mode=755,size=4m"));
  if (::mount(nullptr, mounts.c_str(), nullptr, MS_PRIVATE, nullptr) != 0) return sys::fail_errno("make " + mounts + " private");
  return replace_sys(mounts, cgroups);
}

Result<const sys::Fd*> Mounts::mapping(bool shift) {
  if (!shift) return nullptr;
  if (!mapping_) {
    TRY(mapping_, sys::make_id_mapping(static_cast<std::uint32_t>(first_id_)));
  }
  return &mapping_;
}

Result<std::string> Mounts::layer(const std::string& path, bool shift) {
  auto& name = layers_[{path, shift}];
  if (!name.empty()) return name;
  auto fresh = std::to_string(layers_.size());
  auto target = runtime::mount_directory(directory_) + "/layers/" + fresh;
  TRY_VOID(sys::make_directories(target));
  TRY(const auto* ids, mapping(shift));
  TRY_VOID(sys::bind_mount(path, target, {.id_mapping = ids, .read_only = true}));
  return name = fresh;
}

Result<std::vector<Mounts::Fill>> Mounts::mount_container(const runtime::RunRequest& request) {
  sys::Overlay overlay;
  overlay.directory = runtime::mount_directory(directory_) + "/layers";
  overlay.upper = request.upper;
  overlay.work = request.work;
  overlay.target = runtime::rootfs_directory(directory_, request.container);
  TRY_VOID(sys::make_directories(overlay.target));
  for (const auto& path : request.layers) {
    TRY(auto name, layer(path, request.shift_ids));
    overlay.lower.push_back(std::move(name));
  }
  TRY_VOID(sys::mount_overlay(overlay));
  std::vector<Fill> fills;
  for (const auto& wanted : request.binds) {
    TRY_VOID(bind(request, wanted));
    TRY(auto fill, prepare_fill(request, wanted));
    if (fill) fills.push_back(*std::move(fill));
  }
  return fills;
}

Result<void> Mounts::bind(const runtime::RunRequest& request, const runtime::ShimBind& wanted) {
  auto target = runtime::bind_path(directory_, request.container, wanted.name);
  struct stat info{};
  if (::stat(wanted.source.c_str(), &info) != 0) return sys::fail_errno("mount " + wanted.source);
  if (S_ISDIR(info.st_mode)) {
    TRY_VOID(sys::make_directories(target));
  } else {
    TRY_VOID(sys::write_file(target, ""));
  }
  TRY(const auto* ids, mapping(wanted.shift_ids));
  return sys::bind_mount(wanted.source, target, {.id_mapping = ids, .read_only = wanted.read_only, .no_suid = true, .no_dev = true});
}

// Nobody may create files through an idmapped mount but users that it maps, and the host's root is none of them. So the copy goes
// between the unshifted layers and the directory as it lies on the disk.
Result<std::optional<Mounts::Fill>> Mounts::prepare_fill(const runtime::RunRequest& request, const runtime::ShimBind& bind) {
  if (bind.ready_file.empty() || ::access(bind.ready_file.c_str(), F_OK) == 0) return std::nullopt;
  sys::Overlay plain;
  plain.directory = runtime::mount_directory(directory_) + "/layers";
  plain.target = runtime::bind_path(directory_, request.container, bind.name + "-image");
  plain.lower = {"empty"};
  TRY_VOID(sys::make_directories(plain.directory + "/empty"));
  TRY_VOID(sys::make_directories(plain.target));
  for (const auto& path : request.layers) {
    TRY(auto name, layer(path, false));
    plain.lower.push_back(std::move(name));
  }
  TRY_VOID(sys::mount_overlay(plain));
  auto source = open_in_root(plain.target, bind.initial_path);
  if (!source) {  // the image has nothing there
    TRY_VOID(sys::unmount(plain.target));
    TRY_VOID(sys::write_file(bind.ready_file, ""));
    return std::nullopt;
  }
  auto from = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(source.get());
  // Two tasks may want to be the first user of a shared volume: one copies, the other waits for it. A copy that was cut short is done again.
  constexpr auto kScript = "[ -e \"$2\" ] || { cp -a --reflink=auto \"$1/.\" \"$3/\" && : > \"$2\"; }";
  return Fill{{"flock", bind.ready_file + ".lock", "sh", "-c", kScript, "fill", from, bind.ready_file, bind.source},
              std::move(source), plain.target};
}

}  // namespace watari::shim
