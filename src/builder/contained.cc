#include "builder/contained.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

namespace watari::builder {
namespace {

using Steady = std::chrono::steady_clock;

// Between clone and exec only system calls: the daemon has other threads, whose locks the copy inherits.
[[noreturn]] void become(char* const* argv, int output, int go) {
  auto die = [](const char* what) {
    (void)!::write(2, what, __builtin_strlen(what));
    ::_exit(125);
  };
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  char byte = 0;
  if (::read(go, &byte, 1) != 1) ::_exit(125);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < 32; ++number) ::signal(number, SIG_DFL);
  int null = ::open("/dev/null", O_RDONLY);
  if (::dup2(null, 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(output, 2) < 0) die("set up output\n");
  ::syscall(SYS_close_range, 3, ~0U, 0);
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) die("make mounts private\n");
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr) != 0) die("mount /proc\n");
  // crun refuses the hybrid cgroup layout; here, where nobody else sees it, the v2 half goes away.
  ::umount2("/sys/fs/cgroup/unified", MNT_DETACH);
  ::setsid();
  ::execvp(argv[0], argv);
  die("cannot be executed; is it installed?\n");
  __builtin_unreachable();
}

struct Started {
  pid_t pid = -1;
  sys::Fd pidfd, output;
};

Result<std::pair<sys::Fd, sys::Fd>> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return sys::fail_errno("make a pipe");
  return std::pair(sys::Fd(ends[0]), sys::Fd(ends[1]));
}

int reap(const Started& started);

Result<Started> start(std::vector<std::string> words, const OnStart& on_start) {
  TRY(auto output, make_pipe());
  TRY(auto go, make_pipe());
  Started started;
  started.output = std::move(output.first);
  sys::Fd write_end = std::move(output.second);
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  auto pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return sys::fail_errno("start " + words[0] + " (building needs root)");
  if (pid == 0) {
    ::close(go.second.get());
    become(argv.data(), write_end.get(), go.first.get());
  }
  started.pid = static_cast<pid_t>(pid);
  started.pidfd = sys::Fd(pidfd);
  auto ready = on_start ? on_start(started.pid) : Result<void>();
  if (ready) {
    (void)!::write(go.second.get(), "g", 1);
    return started;
  }
  go.second = sys::Fd();  // its end is the child's
  reap(started);
  return fail(ready.error());
}

// Cuts bytes into lines; what a program prints without an end of line is cut at 64 KiB.
class LineCutter {
 public:
  explicit LineCutter(const OnLine& on_line) : on_line_(on_line) {}
  void add(std::string_view bytes) {
    for (char c : bytes) {
      if (c == '\n' || line_.size() == 65536) flush();
      if (c != '\n') line_ += c;
      pending_ = c != '\n';
    }
  }
  void finish() {
    if (pending_) flush();
  }

 private:
  void flush() {
    if (line_.ends_with('\r')) line_.pop_back();
    on_line_(line_);
    line_.clear();
  }
  const OnLine& on_line_;
  std::string line_;
  bool pending_ = false;
};

// Reads what is there now; false at the end.
bool drain(int fd, LineCutter& lines) {
  std::array<char, 65536> buffer{};
  auto count = ::read(fd, buffer.data(), buffer.size());
  if (count > 0) lines.add({buffer.data(), static_cast<std::size_t>(count)});
  return count > 0 || (count < 0 && errno == EINTR);
}

Result<void> follow(const Started& started, Millis timeout, const StopSignal& stop, LineCutter& lines) {
  auto deadline = Steady::now() + timeout;
  for (bool open = true; open;) {
    auto left = std::chrono::duration_cast<Millis>(deadline - Steady::now()).count();
    if (left <= 0) return fail(Code::DeadlineExceeded, "it ran longer than {} s", timeout.count() / 1000);
    std::array<pollfd, 2> fds{pollfd{started.output.get(), POLLIN, 0}, pollfd{stop.fd(), POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), static_cast<int>(std::min<std::int64_t>(left, 60'000))) < 0 && errno != EINTR)
      return sys::fail_errno("wait for output");
    TRY_VOID(stop.check());
    if (fds[0].revents != 0) open = drain(started.output.get(), lines);
  }
  return {};
}

int reap(const Started& started) {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(started.pid), &info, WEXITED) != 0 && errno == EINTR) {
  }
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace

Result<int> run_contained(std::vector<std::string> argv, Millis timeout, const StopSignal& stop, const OnLine& on_line,
                          const OnStart& on_start) {
  TRY(auto started, start(std::move(argv), on_start));
  LineCutter lines(on_line);
  auto followed = follow(started, timeout, stop, lines);
  // Output ends when the last process has closed it; the first one is the last to go.
  if (!followed) ::syscall(SYS_pidfd_send_signal, started.pidfd.get(), SIGKILL, nullptr, 0);
  int code = reap(started);
  lines.finish();
  if (!followed) return fail(followed.error());
  return code;
}

}  // namespace watari::builder
