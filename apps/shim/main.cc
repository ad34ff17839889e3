// watari-shim DIR: runs the containers of one task (docs/formats/shim-protocol.md). Outlives the daemon that started it.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <linux/close_range.h>
#include <sys/syscall.h>

#include <cstdio>
#include <cstring>

#include "codec/reflect.h"
#include "init.h"
#include "keeper.h"
#include "runtime/shim_protocol.h"
#include "server.h"
#include "surroundings.h"
#include "sys/files.h"

namespace watari::shim {
namespace {

constexpr int kListener = 3;

Result<runtime::ShimSetup> read_setup(const std::string& directory) {
  TRY(auto text, sys::read_file(runtime::setup_file(directory)));
  TRY(auto json, codec::parse_json(text));
  return codec::from_json<runtime::ShimSetup>(json);
}

// Into a session of its own, away from the daemon. The first process ends here.
Result<void> go_to_background(const std::string& directory) {
  auto child = ::fork();
  if (child < 0) return sys::fail_errno("fork");
  if (child > 0) ::_exit(0);
  ::setsid();
  if (::chdir("/") != 0) return sys::fail_errno("enter /");
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  int errors = ::open((directory + "/shim.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ::dup2(null, 0);
  ::dup2(null, 1);
  ::dup2(errors >= 0 ? errors : null, 2);
  // Orphans of the containers' runtime become our children, so that their exit codes come to us.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  return {};
}

Result<void> serve(const std::string& directory) {
  ::umask(022);
  ::fcntl(kListener, F_SETFD, FD_CLOEXEC);
  ::syscall(SYS_close_range, kListener + 1, ~0U, 0);
  TRY(auto setup, read_setup(directory));
  TRY(auto cgroups, sys::Cgroups::detect());
  TRY_VOID(enter_surroundings(directory, setup, cgroups));
  TRY_VOID(go_to_background(directory));
  TRY(auto loop, EventLoop::create());
  Mounts mounts(directory, setup.first_id);
  Server instance({*loop, cgroups, mounts, directory, setup.runtime}, sys::Fd(kListener));
  loop->run();
  return {};
}

}  // namespace
}  // namespace watari::shim

int main(int argc, char** argv) {
  if (argc >= 3 && std::strcmp(argv[1], "init") == 0) return watari::shim::run_as_init(argv + 2);
  if (argc == 5 && std::strcmp(argv[1], "keep") == 0) return watari::shim::keep(argv + 2);
  if (argc != 2) {
    std::fputs("usage: watari-shim DIR   (started by `watari serve`, one for each task, and one, `watari-shim keep`, for the load balancers)\n", stderr);
    return 2;
  }
  auto served = watari::shim::serve(argv[1]);
  if (served) return 0;
  std::fprintf(stderr, "watari-shim: %s\n", served.error().message.c_str());
  return 1;
}
