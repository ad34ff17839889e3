#include "sys/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>

extern char** environ;

namespace watari::sys {
namespace {

std::vector<char*> c_strings(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const auto& string : strings) out.push_back(const_cast<char*>(string.c_str()));
  out.push_back(nullptr);
  return out;
}

// dup2 onto the child's numbers could overwrite a source that is still needed: sources are first moved out of the way.
class Actions {
 public:
  Actions() { ::posix_spawn_file_actions_init(&actions_); }
  ~Actions() { ::posix_spawn_file_actions_destroy(&actions_); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;

  Result<void> map(const std::map<int, int>& descriptors) {
    int highest = descriptors.empty() ? 3 : std::max(3, descriptors.rbegin()->first + 1);
    for (auto [target, source] : descriptors) {
      moved_.emplace_back(::fcntl(source, F_DUPFD_CLOEXEC, highest));
      if (!moved_.back()) return fail_errno("duplicate a descriptor for a child");
      ::posix_spawn_file_actions_adddup2(&actions_, moved_.back().get(), target);
    }
    for (int standard : {0, 1, 2})
      if (!descriptors.contains(standard))
        ::posix_spawn_file_actions_addopen(&actions_, standard, "/dev/null", standard ? O_WRONLY : O_RDONLY, 0);
    // What we have inherited ourselves may lack O_CLOEXEC.
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, descriptors.empty() ? 3 : std::max(3, descriptors.rbegin()->first + 1));
    return {};
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
  std::vector<Fd> moved_;
};

}  // namespace

Result<Child> spawn(const SpawnOptions& options) {
  Actions actions;
  TRY_VOID(actions.map(options.descriptors));
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, options.signals_blocked ? &all : &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (options.new_session) flags |= POSIX_SPAWN_SETSID;
  ::posix_spawnattr_setflags(&attributes, static_cast<short>(flags));
  auto argv = c_strings(options.argv);
  static const std::vector<std::string> kNone;
  auto environment = c_strings(options.environment ? *options.environment : kNone);  // the strings must outlive the pointers
  Child child;
  int error = ::posix_spawnp(&child.pid, argv[0], actions.get(), &attributes, argv.data(),
                             options.environment ? environment.data() : environ);
  ::posix_spawnattr_destroy(&attributes);
  if (error) return fail(system_error(error, "start " + options.argv[0]));
  child.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
  if (!child.pidfd) return fail_errno("watch " + options.argv[0]);
  return child;
}

int exit_code(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

Result<int> wait_child(const Child& child, std::optional<Millis> timeout) {
  if (timeout) {
    pollfd ready{child.pidfd.get(), POLLIN, 0};
    int n;
    do n = ::poll(&ready, 1, static_cast<int>(timeout->count()));
    while (n < 0 && errno == EINTR);
    if (n == 0) return fail(Code::DeadlineExceeded, "process {} still runs after {} ms", child.pid, timeout->count());
  }
  int status = 0;
  pid_t got;
  do got = ::waitpid(child.pid, &status, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) return fail_errno("wait for process " + std::to_string(child.pid));
  return exit_code(status);
}

Result<Output> run(std::vector<std::string> argv, Millis timeout) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  Fd read_end(ends[0]), write_end(ends[1]);
  TRY(auto child, spawn({.argv = argv, .descriptors = {{1, write_end.get()}, {2, write_end.get()}}}));
  write_end.reset();
  Output output;
  auto deadline = std::chrono::steady_clock::now() + timeout;
  auto left = [&] { return std::max(Millis(0), std::chrono::ceil<Millis>(deadline - std::chrono::steady_clock::now())); };
  auto give_up = [&]() -> Result<Output> {
    ::kill(child.pid, SIGKILL);
    (void)wait_child(child);
    return fail(Code::DeadlineExceeded, "{} did not end within {} ms", argv[0], timeout.count());
  };
  for (;;) {
    pollfd ready{read_end.get(), POLLIN, 0};
    int n = ::poll(&ready, 1, static_cast<int>(left().count()));
    if (n == 0) return give_up();
    char buffer[8192];
    auto got = n < 0 ? n : ::read(read_end.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    output.text.append(buffer, static_cast<std::size_t>(got));
  }
  // It has closed its output, which need not be its end.
  auto code = wait_child(child, left());
  if (!code && code.error().code == Code::DeadlineExceeded) return give_up();
  TRY(output.exit_code, code);
  return output;
}

}  // namespace watari::sys
