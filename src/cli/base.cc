// watari base: images to build from, made of what this machine trusts.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iterator>

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
  std::vector<std::string> packages, users, certificates;
  std::vector<std::string> names;  // of update
};

Result<Json> run_build(Client& client, Json request, bool quiet) {
  TRY(auto started, client.call("watari", "StartBaseBuild", std::move(request)));
  auto progress = quiet ? OnProgress([](const Json&) {}) : show_progress();
  TRY(auto report, follow_build(client, started["buildId"].as_string(), progress));
  report.set("logLines", Json());
  return report;
}

Json text_list(const Json& base, const char* member) { return base[member].is_array() ? base[member] : Json::array(); }

// Makes the bases again as they were made. The same packages give the same image, so that another digest means that the archive has newer ones.
Result<void> update(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto listed, client.call("watari", "ListBaseImages"));
  auto out = Json::array();
  for (const auto& name : options.names)
    if (std::ranges::none_of(listed["bases"].as_array(), [&](const Json& base) { return base["image"].as_string() == name; }))
      return fail(Code::NotFound, "{} is no base image that was made here; `watari base update` without a name takes all", name);
  for (const auto& base : listed["bases"].as_array()) {
    const auto& image = base["image"].as_string();
    if (!options.names.empty() && std::ranges::find(options.names, image) == options.names.end()) continue;
    auto request = Json::object({{"name", image.substr(0, image.rfind(':'))}, {"suite", base["suite"]}, {"from", base["from"]}});
    for (const char* member : {"packages", "users", "certificates"})
      if (!base[member].as_array().empty()) request.set(member, base[member]);
    TRY(auto report, run_build(client, std::move(request), options.json));
    const bool changed = report["imageDigest"].as_string() != base["digest"].as_string();
    out.push(Json::object({{"image", image}, {"digest", report["imageDigest"]}, {"before", base["digest"]}, {"changed", changed},
                           {"images", text_list(base, "images")}, {"services", text_list(base, "services")}}));
    if (options.json) continue;
    fmt::print("{}  {}\n", image, changed ? "has newer packages: " + report["imageDigest"].as_string() : "is up to date");
    if (!changed) continue;
    for (const auto& other : base["images"].as_array()) fmt::print("  image {} builds on the old one: build it again\n", other.as_string());
    for (const auto& service : base["services"].as_array()) fmt::print("  service {} runs on the old one: deploy it again\n", service.as_string());
  }
  if (options.json) fmt::print("{}\n", out.pretty());
  else if (out.as_array().empty()) fmt::print("no base images were made here; `watari base build` makes one\n");
  return {};
}

Result<void> build(const Options& options) {
  TRY(auto client, options.connect());
  auto request = Json::object({{"name", options.name}, {"suite", options.suite}, {"from", options.from}});
  auto packages = Json::array();
  for (const auto& package : options.packages) packages.push(Json(package));
  if (!options.packages.empty()) request.set("packages", std::move(packages));
  auto users = Json::array(), certificates = Json::array();
  for (const auto& user : options.users) users.push(Json(user));
  for (const auto& file : options.certificates) {
    std::ifstream in(file, std::ios::binary);
    if (!in) return fail(Code::NotFound, "cannot read {}", file);
    certificates.push(Json(std::string(std::istreambuf_iterator<char>(in), {})));
  }
  if (!options.users.empty()) request.set("users", std::move(users));
  if (!options.certificates.empty()) request.set("certificates", std::move(certificates));
  TRY(auto report, run_build(client, std::move(request), options.json));
  if (options.json) fmt::print("{}\n", report.pretty());
  else fmt::print("{}  {}\n", report["imageDigest"].as_string(), report["tags"].as_array().front().as_string());
  return {};
}

}  // namespace

void add_base(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "base", "Make base images")->require_subcommand(1);
  verb->footer("Examples:\n  watari base build debian\n  watari base update");
  auto make = add_verb(*verb, "build", "A minimal Debian from this host's signed archives, or its static busybox");
  make->add_option("name", options->name, "Name of the image; its tag is the suite")->required();
  make->add_option("--suite", options->suite, "Debian suite")->capture_default_str();
  make->add_option("--packages", options->packages, "Packages besides the minimal system, separated by commas")->delimiter(',');
  make->add_option("--user", options->users, "NAME:UID or NAME:UID:GID of a user besides the system's (again for more)");
  make->add_option("--certificate", options->certificates, "File of an authority's certificate (PEM) that programs in the image trust (again for more)");
  make->add_option("--from", options->from, "What it is made of")->check(CLI::IsMember({"debian", "busybox"}))->capture_default_str();
  add_common(*make, *options);

  auto again = add_verb(*verb, "update", "Make them again when the archive has newer packages, and list what builds on the old ones");
  again->add_option("names", options->names, "NAME:TAG of bases (default: all that were made here)");
  add_common(*again, *options);
  again->footer("Examples:\n  watari base update\n  watari base update debian:bookworm --json");
  again->callback([options, &run] { run = [options] { return finish(update(*options)); }; });

  make->footer("Examples:\n  watari base build debian\n  watari base build ruby --packages ruby,ruby-sinatra,unicorn\n"
               "  watari base build team --user app:1000 --certificate our-ca.pem\n"
               "  watari base build busybox --from busybox      # needs no network");
  make->callback([options, &run] { run = [options] { return finish(build(*options)); }; });
}

}  // namespace watari::cli
