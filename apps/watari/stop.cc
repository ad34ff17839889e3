// watari stop: tells the server of a root to stop, and waits until it has.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <thread>

#include "cli/options.h"
#include "cli/output.h"
#include "watari/root.h"
#include "watari/verbs.h"

namespace watari {
namespace {

struct Options {
  std::string root = cli::default_root();
  bool all = false;
};

Result<void> stop(const Options& options) {
  TRY(auto pid, serving_process(options.root));
  if (pid == 0) {
    if (options.all)
      return fail(Code::FailedPrecondition, "no server runs on {}. To take its tasks and load balancers down: `watari serve "
                  "--root {} --stop-all`, then stop it", options.root, options.root);
    fmt::print("no server runs on {}\n", options.root);
    return {};
  }
  sys::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  // Asked again now that the process is held: a pid could have been given to another one in between.
  TRY(auto still, serving_process(options.root));
  if (!process || still != pid) return {};
  int signal = options.all ? SIGUSR2 : SIGTERM;  // serve.cc: SIGUSR2 takes everything down
  if (::syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0) != 0)
    return sys::fail_errno(fmt::format("signal the server (pid {})", pid));
  for (int waited = 0; waited < 3000; ++waited) {
    TRY(auto now, serving_process(options.root));
    if (now != pid) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return fail(Code::DeadlineExceeded, "the server (pid {}) is still stopping after 5 minutes; its log says why", pid);
}

}  // namespace

void add_stop(CLI::App& app, cli::Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = cli::add_verb(app, "stop", "Stop the server; tasks and load balancers keep running unless --all is given");
  verb->add_option("--root", options->root, "Root directory of the server")->capture_default_str();
  verb->add_flag("--all", options->all, "Take down its tasks and load balancers too");
  verb->footer("Example:\n  watari stop --root /var/lib/watari --all");
  verb->callback([options, &run] { run = [options] { return cli::finish(stop(*options)); }; });
}

}  // namespace watari
