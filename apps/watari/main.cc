// The command line: which verbs there are. The server's verbs live here, all others in src/cli.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>

#include "cli/verbs.h"
#include "version.h"
#include "watari/verbs.h"

namespace {

// haproxy and nft live in sbin, which `su` and cron leave out.
void complete_path() {
  const char* path = std::getenv("PATH");
  ::setenv("PATH", fmt::format("{}:/usr/local/sbin:/usr/sbin:/sbin", path && *path ? path : "/usr/local/bin:/usr/bin:/bin").c_str(), 1);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  complete_path();
  CLI::App app{"Watari runs a whole web backend on machines you own and speaks the AWS APIs."};
  app.set_version_flag("--version", fmt::format("watari {} (commit {})", watari::kVersion, watari::kCommit));
  app.require_subcommand(1);
  app.failure_message([&app](const CLI::App*, const CLI::Error& error) {
    auto verbs = app.get_subcommands();
    return fmt::format("watari: {}\nSee: watari {}--help\n", error.what(), verbs.empty() ? "" : verbs[0]->get_name() + " ");
  });
  watari::cli::Run run;
  watari::add_serve(app, run);
  watari::add_stop(app, run);
  watari::add_doctor(app, run);
  watari::cli::add_verbs(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return run();
}
