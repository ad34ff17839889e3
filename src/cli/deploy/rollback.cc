// watari rollback and watari deployments: what was deployed, and back to any of it.
#include <CLI/CLI.hpp>

#include <algorithm>

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
                       {"taskDefinition", release.task_definition}, {"images", release.images}, {"createdAt", release.created}, {"finishedAt", release.finished}});
}

Result<void> print_releases(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto service, deploy::find_service(client, options.service, options.cluster));
  TRY(auto releases, deploy::releases_of(client, service));
  if (releases.size() > options.limit) releases.resize(options.limit);
  if (options.json) {
    TRY(auto traffic, client.call("watari", "DescribeTraffic", Json::object({{"cluster", service.cluster}, {"service", service.service}, {"limit", 100}})));
    auto all = Json::array();
    for (const auto& release : releases) {
      auto item = to_json(release);
      for (const auto& counted : traffic["deployments"].as_array())
        if (counted["serviceDeploymentArn"].as_string() == release.arn) item.set("traffic", counted);
      all.push(std::move(item));
    }
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

// All that are under way, the newest first: behind a release of CodeDeploy's others may wait.
Result<void> stop_releases(Client& client, const Options& options, const Found& service, const std::vector<Release>& releases) {
  std::string last;
  for (const auto& release : releases) {
    if (!release.open()) continue;
    TRY_VOID(client.call("ecs", "StopServiceDeployment", Json::object({{"serviceDeploymentArn", release.arn}, {"stopType", "ROLLBACK"}})));
    last = release.arn;
  }
  auto followed = options.wait ? deploy::follow(client, service, last, true) : Result<void>{};
  TRY(auto now, deploy::releases_of(client, service));
  auto stopped = std::ranges::find(now, last, &Release::arn);
  if (stopped == now.end()) return followed;
  if (options.json) fmt::print("{}\n", to_json(*stopped).pretty());
  else fmt::print("{}: the deployment of {} was stopped: {}\n", service.service, stopped->task_definition, stopped->status);
  if (options.wait && stopped->status != "ROLLBACK_SUCCESSFUL") return followed;
  return {};
}

// What served before is deployed again, with the images and in the network that it had then.
Result<void> deploy_again(Client& client, const Options& options, const Found& service, const Release& target) {
  TRY(auto plan, deploy::plan(client, service, Json::object({{"serviceRevision", target.revision}})));
  deploy::print_problems(plan, stderr);
  if (!plan["possible"].as_bool()) return fail(Code::FailedPrecondition, "{}: {} cannot be deployed again; nothing was started", service.service, target.task_definition);
  auto definition = target.task_definition;
  if (plan["registers"].as_bool()) {
    TRY(definition, deploy::register_again(client, definition, plan["images"].is_object() ? plan["images"] : Json::object()));
    definition = name_of_arn(definition);
  }
  auto request = Json::object({{"taskDefinition", definition}});
  auto moves = [](const Json& change) { return change["subject"].as_string() == "network"; };
  if (std::ranges::any_of(plan["changes"].as_array(), moves)) request.set("networkConfiguration", target.network);
  TRY(auto arn, deploy::start(client, service, plan, std::move(request)));
  auto as = definition == target.task_definition ? "" : fmt::format(" (registered as {}: its images as they were)", definition);
  if (!options.json) fmt::print("{}: back to {}{}{}\n", service.service, target.task_definition, as, arn.empty() ? ", which it runs already" : "");
  if (options.wait && !arn.empty()) {
    TRY_VOID(deploy::follow(client, service, arn, options.json));
  }
  if (options.json)
    fmt::print("{}\n", Json::object({{"service", service.service}, {"cluster", service.cluster}, {"taskDefinition", definition}, {"serviceDeploymentArn", arn}}).pretty());
  return {};
}

Result<void> roll_back(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto service, deploy::find_service(client, options.service, options.cluster));
  TRY(auto releases, deploy::releases_of(client, service));
  if (options.to.empty() && std::ranges::any_of(releases, &Release::open)) return stop_releases(client, options, service, releases);
  TRY(auto target, deploy::way_back(releases, options.to));
  return deploy_again(client, options, service, target);
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
  auto verb = add_verb(app, "rollback", "Take a service back to what it ran before, or to any revision that is kept");
  auto options = common_options(*verb);
  verb->add_option("--to", options->to, "Task definition (shop-api:12, or 12) or service revision; default: the one before");
  verb->add_flag("--list", options->list, "Only list what there is to go back to");
  verb->add_flag("--wait,!--no-wait", options->wait, "Follow it to its end (default)");
  verb->footer("A deployment that is under way is stopped and rolled back.\n"
               "Examples:\n  watari rollback api\n  watari rollback api --list\n  watari rollback api --to 12");
  verb->callback([options, &run] { run = [options] { return finish(options->list ? print_releases(*options) : roll_back(*options)); }; });
}

void add_deployments(CLI::App& app, Run& run) {
  auto verb = add_verb(app, "deployments", "What was deployed to a service, newest first");
  auto options = common_options(*verb);
  verb->add_option("--limit", options->limit, "How many at most")->capture_default_str();
  verb->footer("Examples:\n  watari deployments api\n  watari deployments api --limit 5 --json");
  verb->callback([options, &run] { run = [options] { return finish(print_releases(*options)); }; });
}

}  // namespace watari::cli
