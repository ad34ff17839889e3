#include "balancer/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>

#include "balancer/process.h"
#include "base/strings.h"

extern char** environ;

namespace watari::balancer {

namespace {

constexpr int kProcess = 3, kDaemon = 4, kFirstSocket = 5;  // as apps/shim/keeper.cc finds them

// It ends at once, unless it is starting a HAProxy: then after that.
void terminate(int pidfd) {
  ::syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, nullptr, 0);
  pollfd ended{pidfd, POLLIN, 0};
  if (::poll(&ended, 1, 5000) == 0) ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
}

}  // namespace

Keeper::Keeper(std::string directory, std::string haproxy) : directory_(std::move(directory)), haproxy_(std::move(haproxy)) {
  std::error_code error;
  program_ = (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "watari-shim").string();
}

void Keeper::end_former(const std::function<void(int pidfd)>& before) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    auto pid = parse_number<int>(entry.path().filename().string());
    if (!pid) continue;
    sys::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0)));
    auto words = split(read_file(entry.path() / "cmdline").value_or(""), '\0');
    if (!process || words.size() < 3 || !words[0].ends_with("watari-shim") || words[1] != "keep" || words[2] != directory_) continue;
    before(process.get());
    terminate(process.get());
  }
}

bool Keeper::stands_by(int number) const {
  pollfd ended{child_.pidfd.get(), POLLIN, 0};
  return number_ == number && child_.pidfd && ::poll(&ended, 1, 0) == 0;
}

Result<void> Keeper::stand_by(int number, int pidfd, const std::vector<std::pair<std::string, int>>& sockets) {
  if (stands_by(number)) return {};
  end();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return sys::fail_errno("make a pipe");
  sys::Fd theirs(ends[0]);
  alive_.reset(ends[1]);
  sys::SpawnOptions options{.argv = {program_, "keep", directory_, std::to_string(number), haproxy_}, .descriptors = {{kProcess, pidfd}, {kDaemon, theirs.get()}},
                            .new_session = true, .signals_blocked = true};
  auto& environment = options.environment.emplace();
  for (char** variable = environ; *variable; ++variable) environment.emplace_back(*variable);
  for (int next = kFirstSocket; const auto& [name, socket] : sockets) {
    options.descriptors[next] = socket;
    environment.push_back(fmt::format("{}={}", name, next++));
  }
  TRY(child_, sys::spawn(options));
  number_ = number;
  return {};
}

void Keeper::end() {
  if (!child_.pidfd) return;
  terminate(child_.pidfd.get());
  (void)sys::wait_child(child_);
  child_ = {};
  number_ = 0;
}

}  // namespace watari::balancer
