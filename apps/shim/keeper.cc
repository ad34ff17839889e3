#include "keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "base/strings.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace watari::shim {

namespace {

// As src/balancer/keeper.cc gives them: the HAProxy process (pidfd), and a pipe whose other end the daemon holds. Above them are the sockets,
// under the numbers that HAProxy's configuration finds in the environment.
constexpr int kProcess = 3, kDaemon = 4;

// Until something can be read, the other end is closed, or the time is over. SIGTERM is heard here only.
void wait_for(int fd, const timespec* limit = nullptr) {
  pollfd event{fd, POLLIN, 0};
  sigset_t none;
  sigemptyset(&none);
  while (::ppoll(&event, fd >= 0 ? 1 : 0, limit, &none) < 0) {
  }
}

struct Keeper {
  std::string directory, haproxy;
  int number;

  std::string file(int of, const char* end) const { return fmt::format("{}/haproxy-{}{}", directory, of, end); }

  // The new process; none when it does not start.
  sys::Fd start() const {
    ::rename(file(number, ".now").c_str(), file(number, ".cfg").c_str());  // with the targets of now, if they changed
    auto configuration = file(number, ".cfg"), pid_file = file(number, ".pid");
    auto child = ::fork();
    if (child == 0) {
      sigset_t none;
      sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      ::execlp(haproxy.c_str(), haproxy.c_str(), "-D", "-f", configuration.c_str(), "-p", pid_file.c_str(), nullptr);
      ::_exit(127);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) < 0 || status != 0) return sys::Fd();
    auto pid = parse_number<int>(trim(sys::read_file(pid_file).value_or("")));
    return sys::Fd(pid ? static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0)) : -1);
  }
};

}  // namespace

int keep(char** arguments) {
  ::prctl(PR_SET_NAME, "watari-keeper", 0, 0, 0);
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  for (int fd : {kProcess, kDaemon}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  Keeper keeper{.directory = arguments[0], .haproxy = arguments[2], .number = std::atoi(arguments[1])};
  if (int log = ::open(keeper.file(keeper.number, ".log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600); log >= 0) {
    ::dup2(log, 1);
    ::dup2(log, 2);
  }
  constexpr timespec kPause{1, 0};
  for (sys::Fd process(kProcess);;) {
    if (process) wait_for(process.get());
    wait_for(kDaemon);  // as long as there is one, starting HAProxy is the daemon's business
    if (::access(keeper.file(keeper.number + 1, ".pid").c_str(), F_OK) == 0) return 0;  // the daemon was killed in the middle of a reload
    process = keeper.start();
    if (!process) wait_for(-1, &kPause);
  }
}

}  // namespace watari::shim
