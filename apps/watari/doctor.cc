// watari doctor: is this host fit, and has a server left anything on it?
#include <CLI/CLI.hpp>

#include "cli/options.h"
#include "cli/output.h"
#include "codec/json.h"
#include "watari/checks.h"
#include "watari/leaks.h"
#include "watari/root.h"
#include "watari/verbs.h"

namespace watari {
namespace {

struct Options {
  std::string root = cli::default_root();
  bool leaks = false, json = false;
};

int check(const Options& options) {
  bool fit = true;
  auto report = codec::Json::array();
  for (const auto& item : host_checks(options.root)) {
    auto finding = item.run();
    fit = fit && (finding.ok || !item.essential);
    report.push(codec::Json::object({{"check", item.name},
                                     {"ok", finding.ok},
                                     {"essential", item.essential},
                                     {"found", finding.detail},
                                     {"advice", finding.advice}}));
    if (options.json) continue;
    const char* mark = finding.ok ? "ok     " : item.essential ? "MISSING" : "warning";
    fmt::print("{}  {:<16}  {}\n", mark, item.name, finding.detail);
    if (!finding.ok) fmt::print("{:27}-> {}\n", "", finding.advice);
  }
  if (options.json) fmt::print("{}\n", codec::Json::object({{"fit", fit}, {"checks", report}}).pretty());
  return fit ? 0 : 1;
}

int leaks(const Options& options) {
  auto id = read_root_id(options.root);
  if (!id) return cli::finish(fail(id.error()));
  auto found = find_leaks(*id);
  auto pid = serving_process(options.root);
  bool running = pid && *pid != 0;
  if (options.json) {
    auto list = codec::Json::array();
    for (const auto& thing : found) list.push(thing);
    fmt::print("{}\n", codec::Json::object({{"rootId", *id}, {"serverRuns", running}, {"found", list}}).pretty());
  } else {
    for (const auto& thing : found) fmt::print("{}\n", thing);
    fmt::print("{} of {} on this host{}\n", found.empty() ? "nothing" : fmt::format("{} things", found.size()), *id,
               running ? " (its server is running and uses them)" : "");
  }
  return found.empty() || running ? 0 : 1;
}

}  // namespace

void add_doctor(CLI::App& app, cli::Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = cli::add_verb(app, "doctor", "Check that this host can run Watari, line by line, with what to do");
  verb->add_option("--root", options->root, "Root directory of the server")->capture_default_str();
  verb->add_flag("--leaks", options->leaks, "Instead: list what the server of this root has left on the host");
  verb->add_flag("--json", options->json, "Print JSON");
  verb->footer("Examples:\n  watari doctor\n  watari doctor --leaks --root /var/lib/watari\n"
               "Exit code 1: something essential is missing, or something was left behind.");
  verb->callback([options, &run] { run = [options] { return options->leaks ? leaks(*options) : check(*options); }; });
}

}  // namespace watari
