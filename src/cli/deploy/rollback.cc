// watari rollback and watari deployments: what was deployed, and back to any of it.
#include <CLI/CLI.hpp>

#include "cli/deploy/releases.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;
using deploy::Release;

struct Options : Common {
  std::string service, cluster, to;
  std::size_t limit = 20;
  bool list = false, wait = true;
};

Json to_json(const Release& release) {
  return Json::object({{"serviceDeploymentArn", release.arn}, {"status", release.status}, {"reason", release.reason}, {"revision", release.revision},
                       {"taskDefinition", release.task_definition}, {"createdAt", release.created}, {"finishedAt", release.finished}});
}

Result<void> print_releases(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto service, deploy::find_service(client, options.service, options.cluster));
  TRY(auto releases, deploy::releases_of(client, service));
  if (releases.size() > options.limit) releases.resize(options.limit);
  if (options.json) {
    auto all = Json::array();
    for (const auto& release : releases) all.push(to_json(release));
    fmt::print("{}\n", Json::object({{"service", service.service}, {"cluster", service.cluster}, {"deployments", std::move(all)}}).pretty());
    return {};
  }
  std::vector<std::vector<std::string>> rows = {{"TASK DEFINITION", "STATUS", "AGE", "TOOK", "REVISION", "REASON"}};
  for (const auto& release : releases)
    rows.push_back({release.task_definition, release.status, ago(release.created), release.finished > 0 ? age(release.finished - release.created) : "", release.revision,
                    release.reason});
  fmt::print("{}", table(rows));
  return {};
}

// A release that is under way is stopped, which leads back to what served before; else what served before is deployed again.
Result<void> roll_back(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto service, deploy::find_service(client, options.service, options.cluster));
  TRY(auto releases, deploy::releases_of(client, service));
  if (options.to.empty() && !releases.empty() && releases.front().open()) {
    TRY_VOID(client.call("ecs", "StopServiceDeployment", Json::object({{"serviceDeploymentArn", releases.front().arn}, {"stopType", "ROLLBACK"}})));
    auto followed = options.wait ? deploy::follow(client, service, releases.front().arn, true) : Result<void>{};
    TRY(auto now, deploy::releases_of(client, service));
    if (options.json) fmt::print("{}\n", to_json(now.front()).pretty());
    else fmt::print("{}: the deployment of {} was stopped: {}\n", service.service, now.front().task_definition, now.front().status);
    if (options.wait && now.front().status != "ROLLBACK_SUCCESSFUL") return followed;
    return {};
  }
  TRY(auto target, deploy::way_back(releases, options.to));
  TRY(auto arn, deploy::update(client, service, Json::object({{"taskDefinition", target.task_definition}})));
  if (!options.json) fmt::print("{}: back to {}{}\n", service.service, target.task_definition, arn.empty() ? ", which it runs already" : "");
  if (options.wait && !arn.empty()) {
    TRY_VOID(deploy::follow(client, service, arn, options.json));
  }
  if (options.json)
    fmt::print("{}\n", Json::object({{"service", service.service}, {"cluster", service.cluster}, {"taskDefinition", target.task_definition}, {"serviceDeploymentArn", arn}}).pretty());
  return {};
}

std::shared_ptr<Options> common_options(CLI::App& verb) {
  auto options = std::make_shared<Options>();
  verb.add_option("service", options->service, "The service, or the end of its name")->required();
  verb.add_option("--cluster", options->cluster, "Look in this cluster only");
  add_common(verb, *options);
  return options;
}

}  // namespace

void add_rollback(CLI::App& app, Run& run) {
  auto verb = app.add_subcommand("rollback", "Take a service back to what it ran before, or to any revision that is kept");
  auto options = common_options(*verb);
  verb->add_option("--to", options->to, "Task definition (shop-api:12, or 12) or service revision; default: the one before");
  verb->add_flag("--list", options->list, "Only list what there is to go back to");
  verb->add_flag("--wait,!--no-wait", options->wait, "Follow it to its end (default)");
  verb->footer("A deployment that is under way is stopped and rolled back.\n"
               "Examples:\n  watari rollback api\n  watari rollback api --list\n  watari rollback api --to 12");
  verb->callback([options, &run] { run = [options] { return finish(options->list ? print_releases(*options) : roll_back(*options)); }; });
}

void add_deployments(CLI::App& app, Run& run) {
  auto verb = app.add_subcommand("deployments", "What was deployed to a service, newest first");
  auto options = common_options(*verb);
  verb->add_option("--limit", options->limit, "How many at most")->capture_default_str();
  verb->footer("Examples:\n  watari deployments api\n  watari deployments api --limit 5 --json");
  verb->callback([options, &run] { run = [options] { return finish(print_releases(*options)); }; });
}

}  // namespace watari::cli
