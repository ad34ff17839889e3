// watari base: images to build from, made of what this machine trusts.
#include <CLI/CLI.hpp>

#include "base/strings.h"
#include "cli/build_client.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;

struct Options : Common {
  std::string name, suite = "bookworm", from = "debian";
  std::vector<std::string> packages;
};

Result<void> build(const Options& options) {
  TRY(auto client, options.connect());
  auto request = Json::object({{"name", options.name}, {"suite", options.suite}, {"from", options.from}});
  auto packages = Json::array();
  for (const auto& package : options.packages) packages.push(Json(package));
  if (!options.packages.empty()) request.set("packages", std::move(packages));
  TRY(auto started, client.call("watari", "StartBaseBuild", std::move(request)));
  auto progress = options.json ? OnProgress([](const Json&) {}) : show_progress();
  TRY(auto report, follow_build(client, started["buildId"].as_string(), progress));
  report.set("logLines", Json());
  if (options.json) fmt::print("{}\n", report.pretty());
  else fmt::print("{}  {}\n", report["imageDigest"].as_string(), report["tags"].as_array().front().as_string());
  return {};
}

}  // namespace

void add_base(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = app.add_subcommand("base", "Make base images")->require_subcommand(1);
  auto make = verb->add_subcommand("build", "A minimal Debian from this host's signed archives, or its static busybox");
  make->add_option("name", options->name, "Name of the image; its tag is the suite")->required();
  make->add_option("--suite", options->suite, "Debian suite")->capture_default_str();
  make->add_option("--packages", options->packages, "Packages besides the minimal system, separated by commas")->delimiter(',');
  make->add_option("--from", options->from, "What it is made of")->check(CLI::IsMember({"debian", "busybox"}))->capture_default_str();
  add_common(*make, *options);
  make->footer("Examples:\n  watari base build debian\n  watari base build ruby --packages ruby,ruby-sinatra,unicorn\n"
               "  watari base build busybox --from busybox      # needs no network");
  make->callback([options, &run] { run = [options] { return finish(build(*options)); }; });
}

}  // namespace watari::cli
