#include "watari/checks.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <netdb.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <future>
#include <thread>

#include "base/strings.h"
#include "net/port_holder.h"
#include "net/server.h"
#include "sys/fd.h"
#include "sys/nftables.h"

namespace watari {
namespace {

namespace fs = std::filesystem;

Finding good(std::string detail) { return {true, std::move(detail), {}}; }
Finding bad(std::string detail, std::string advice) { return {false, std::move(detail), std::move(advice)}; }
std::string errno_text() { return std::strerror(errno); }

std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (const auto& directory : split(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin", ':')) {
    auto file = directory + "/" + name;
    if (::access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

std::string first_line_of(const std::string& command) {
  char line[512] = "";
  if (FILE* pipe = ::popen((command + " 2>/dev/null").c_str(), "re")) {
    if (!std::fgets(line, sizeof line, pipe)) line[0] = 0;
    ::pclose(pipe);
  }
  return std::string(trim(line));
}

// Runs `work` on a thread whose namespaces may be changed: they end with it.
Finding on_own_thread(const std::function<Finding()>& work) {
  Finding finding;
  std::thread([&] { finding = work(); }).join();
  return finding;
}

Finding check_rights() {
  if (::geteuid() != 0) return bad("not root", "run it as root (sudo watari …)");
  struct Capability {
    int bit;
    const char* name;
  };
  // Source: /usr/include/linux/capability.h
  constexpr Capability needed[] = {{0, "CHOWN"},   {1, "DAC_OVERRIDE"}, {5, "KILL"},       {6, "SETGID"}, {7, "SETUID"},
                                   {12, "NET_ADMIN"}, {18, "SYS_CHROOT"}, {21, "SYS_ADMIN"}, {27, "MKNOD"}};
  std::ifstream status("/proc/self/status");
  std::uint64_t held = 0;
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("CapEff:")) held = std::stoull(std::string(trim(line.substr(7))), nullptr, 16);
  std::vector<std::string> missing;
  for (const auto& [bit, name] : needed)
    if (!(held >> bit & 1)) missing.push_back(name);
  if (missing.empty()) return good("root with all needed capabilities");
  return bad("root without " + join(missing, ", "), "give this container or service these capabilities (CAP_…)");
}

Finding check_cgroups() {
  struct statfs info{};
  if (::statfs("/sys/fs/cgroup", &info) != 0) return bad("no /sys/fs/cgroup", "mount the cgroup file system");
  if (info.f_type == CGROUP2_SUPER_MAGIC) {
    std::ifstream in("/sys/fs/cgroup/cgroup.controllers");
    std::string controllers;
    std::getline(in, controllers);
    for (auto needed : {"cpu", "memory", "pids"})
      if ((" " + controllers + " ").find(std::string(" ") + needed + " ") == std::string::npos)
        return bad(fmt::format("cgroup v2 without the {} controller", needed),
                   "enable it on the kernel command line (cgroup_enable=memory) or in the parent's cgroup.subtree_control");
    if (::access("/sys/fs/cgroup/cgroup.subtree_control", W_OK) != 0)
      return bad("cgroup v2, read-only", "mount /sys/fs/cgroup writable");
    return good("cgroup v2");
  }
  for (auto needed : {"cpu", "memory", "pids", "freezer"}) {
    auto directory = std::string("/sys/fs/cgroup/") + needed;
    if (::statfs(directory.c_str(), &info) != 0 || info.f_type != CGROUP_SUPER_MAGIC)
      return bad(fmt::format("cgroup v1 without {}", needed), "mount the " + std::string(needed) + " hierarchy, or boot with "
                 "systemd.unified_cgroup_hierarchy=1");
    if (::access(directory.c_str(), W_OK) != 0) return bad(directory + " is read-only", "mount it writable");
  }
  bool hybrid = ::access("/sys/fs/cgroup/unified", F_OK) == 0;
  return good(hybrid ? "cgroup v1, hybrid (works; pure v2 is the normal case)" : "cgroup v1 (works; v2 is the normal case)");
}

Finding check_runtime() {
  if (find_program("crun").empty()) return bad("no crun in PATH", "apt-get install crun");
  return good("crun");
}

Finding check_haproxy() {
  if (find_program("haproxy").empty()) return bad("no haproxy in PATH", "apt-get install haproxy");
  auto line = first_line_of("haproxy -v");  // "HAProxy version 2.6.12-1+deb12u2 2025/04/16 - https://haproxy.org/"
  int major = 0, minor = 0;
  auto version = line.find("version ");
  if (version == std::string::npos || std::sscanf(line.c_str() + version, "version %d.%d", &major, &minor) != 2)
    return bad("haproxy -v says \"" + line + "\"", "install HAProxy 2.6 or newer");
  auto found = fmt::format("HAProxy {}.{}", major, minor);
  if (major * 100 + minor < 206) return bad(found, "install HAProxy 2.6 or newer");
  return good(found);
}

Finding check_network() {
  return on_own_thread([] {
    if (::unshare(CLONE_NEWNET) != 0)
      return bad("cannot make a network namespace: " + errno_text(), "CAP_SYS_ADMIN and CONFIG_NET_NS are needed");
    auto made = sys::run_nft("add table inet watari_check\n"
                             "add chain inet watari_check forward { type filter hook forward priority 0; policy drop; }\n"
                             "add rule inet watari_check forward ct state established accept\n");
    if (!made)
      return bad("nftables: " + std::string(made.error().message.substr(0, made.error().message.find('\n'))),
                 "load the kernel modules nf_tables and nf_conntrack (modprobe nf_tables nf_conntrack nft_ct)");
    return good("network namespaces and nftables with connection tracking");
  });
}

Finding check_overlay() {
  return on_own_thread([] {
    if (::unshare(CLONE_NEWNS) != 0) return bad("cannot make a mount namespace: " + errno_text(), "CAP_SYS_ADMIN is needed");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("watari-check", "/tmp", "tmpfs", 0, "size=1m") != 0)
      return bad("cannot mount: " + errno_text(), "CAP_SYS_ADMIN is needed");
    for (auto directory : {"/tmp/lower", "/tmp/upper", "/tmp/work", "/tmp/merged"}) ::mkdir(directory, 0755);
    if (::mount("overlay", "/tmp/merged", "overlay", 0, "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work") != 0)
      return bad("overlayfs: " + errno_text(), "load the kernel module overlay (modprobe overlay)");
    return good("overlayfs");
  });
}

bool write_text(const std::string& file, std::string_view text) {
  sys::Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// A process in a user namespace of its own, for as long as this object lives.
class UserNamespace {
 public:
  UserNamespace() {
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) return;
    sys::Fd in(ready[0]), out(ready[1]);
    pid_ = ::fork();
    if (pid_ == 0) {  // only async-signal-safe calls here: serve has threads by now or later
      char result = ::unshare(CLONE_NEWUSER) == 0 ? 'y' : 'n';
      (void)!::write(out.get(), &result, 1);
      ::pause();
      ::_exit(0);
    }
    char result = 'n';
    if (pid_ > 0 && ::read(in.get(), &result, 1) == 1 && result == 'y') {
      auto directory = fmt::format("/proc/{}/", pid_);
      if (write_text(directory + "uid_map", "0 100000 65536") && write_text(directory + "gid_map", "0 100000 65536"))
        fd_.reset(::open((directory + "ns/user").c_str(), O_RDONLY | O_CLOEXEC));
    }
  }
  ~UserNamespace() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  int fd() const { return fd_.get(); }

 private:
  pid_t pid_ = -1;
  sys::Fd fd_;
};

// The nearest directory that exists: the root itself may not yet.
fs::path existing_part(fs::path path) {
  std::error_code ignored;
  while (!fs::is_directory(path, ignored) && path.has_relative_path()) path = path.parent_path();
  return path;
}

Finding check_user_namespaces(const fs::path& root) {
  UserNamespace ns;
  if (ns.fd() < 0)
    return bad("cannot make a user namespace", "set user.max_user_namespaces above 0 (sysctl -w user.max_user_namespaces=10000)");
  auto directory = existing_part(root);
  sys::Fd tree(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, directory.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!tree) return bad("open_tree: " + errno_text(), "Linux 5.12 or newer and CAP_SYS_ADMIN are needed");
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<std::uint64_t>(ns.fd());
  if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
    return bad(fmt::format("no idmapped mounts on the file system of {}: {}", directory.string(), errno_text()),
               "choose a --root on ext4, xfs or btrfs (Linux 5.12 or newer)");
  return good("user namespaces and idmapped mounts");
}

Finding check_names() {
  addrinfo hints{}, *found = nullptr;
  hints.ai_family = AF_INET;
  bool resolves = ::getaddrinfo("watari-check.localhost", "80", &hints, &found) == 0;
  if (found) ::freeaddrinfo(found);
  if (resolves) return good("*.localhost resolves to this host");
  return bad("*.localhost does not resolve", "apt-get install libnss-myhostname (curl and browsers work without)");
}

// Port 4566 is only the default, and a server of our own may well be on it.
Finding check_port() {
  auto server = net::Server::listen({.port = 4566});
  if (server) return good("127.0.0.1:4566 is free");
  auto holder = net::port_holder(4566);
  if (holder.starts_with("watari ")) return good("127.0.0.1:4566 is served by " + holder);
  return bad("127.0.0.1:4566 is taken" + (holder.empty() ? "" : " by " + holder), "start with `watari serve --listen 127.0.0.1:PORT`");
}

Finding check_mmdebstrap() {
  if (find_program("mmdebstrap").empty())
    return bad("no mmdebstrap in PATH", "apt-get install mmdebstrap (needed by `watari base` only)");
  return good("mmdebstrap");
}

Finding check_space(const fs::path& root) {
  std::error_code error;
  auto space = fs::space(existing_part(root), error);
  if (error) return bad(error.message(), "choose another --root");
  auto free = fmt::format("{:.1f} GiB free for {}", static_cast<double>(space.available) / (1 << 30), root.string());
  if (space.available < (std::uintmax_t{1} << 30)) return bad(free, "make room: images and logs need at least 1 GiB");
  return good(free);
}

Finding check_run() {
  struct statfs info{};
  if (::access("/run", W_OK) != 0) return bad("/run is not writable", "mount a tmpfs on /run");
  if (::statfs("/run", &info) == 0 && info.f_type == TMPFS_MAGIC) return good("/run is a tmpfs");
  return bad("/run is not a tmpfs", "mount a tmpfs on /run: secrets of running tasks must not reach a disk");
}

}  // namespace

std::vector<Check> host_checks(const fs::path& root) {
  return {
      {"rights", true, check_rights},
      {"cgroups", true, check_cgroups},
      {"runtime", true, check_runtime},
      {"load balancer", true, check_haproxy},
      {"network", true, check_network},
      {"overlayfs", true, check_overlay},
      {"user namespaces", true, [root] { return check_user_namespaces(root); }},
      {"run directory", false, check_run},
      {"disk space", false, [root] { return check_space(root); }},
      {"port", false, check_port},
      {"names", false, check_names},
      {"base images", false, check_mmdebstrap},
  };
}

// Side by side, since most of them wait for something; but without rights nothing else is worth trying.
Result<void> check_host(const fs::path& root) {
  auto verdict = [](const Check& check, const Finding& finding) -> Result<void> {
    if (finding.ok) return {};
    return fail(Code::FailedPrecondition, "{}: {}: {} (`watari doctor` checks everything)", check.name, finding.detail, finding.advice);
  };
  auto checks = host_checks(root);
  TRY_VOID(verdict(checks.front(), checks.front().run()));
  std::vector<std::pair<const Check*, std::future<Finding>>> running;
  for (const auto& check : checks)
    if (check.essential && &check != &checks.front()) running.emplace_back(&check, std::async(std::launch::async, check.run));
  for (auto& [check, future] : running) TRY_VOID(verdict(*check, future.get()));
  return {};
}

}  // namespace watari
