// watari deploy: looks a release over before it starts, starts it, and follows it to its end.
#include <CLI/CLI.hpp>

#include "cli/deploy/releases.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;
using deploy::follow;
using deploy::print_problems;

struct Options : Common {
  std::string service, cluster, definition, strategy;
  std::vector<std::string> images;  // CONTAINER=IMAGE or IMAGE
  std::optional<int> tasks;
  bool plan = false, wait = true, force = false;
};

// "api=shop:2" -> {"api": "shop:2"}; an image alone is that of the only essential container.
Json images_of(const Options& options) {
  auto out = Json::object();
  for (const auto& text : options.images) {
    auto equals = text.find('=');
    bool named = equals != std::string::npos && text.find_first_of("/:@") > equals;
    out.set(named ? text.substr(0, equals) : "*", named ? text.substr(equals + 1) : text);
  }
  return out;
}

Result<Json> ask_for_plan(Client& client, const Options& options, const Found& service) {
  auto request = Json::object({{"images", images_of(options)}});
  if (!options.definition.empty()) request.set("taskDefinition", options.definition);
  if (!options.strategy.empty()) request.set("strategy", options.strategy);
  if (options.tasks) request.set("desiredCount", *options.tasks);
  return deploy::plan(client, service, std::move(request));
}

void print_plan(const Json& plan, const std::string& service) {
  fmt::print("{}: {} -> {} ({}), {} of {} tasks running, {} at most\n", service, plan["currentTaskDefinition"].as_string(), plan["taskDefinition"].as_string(),
             plan["strategy"].as_string(), plan["runningTasks"].as_int(), plan["desiredTasks"].as_int(), plan["mostTasks"].as_int());
  if (plan["changes"].as_array().empty()) fmt::print("  nothing changes\n");
  for (const auto& change : plan["changes"].as_array()) {
    auto shown = [](const Json& value) { return value.as_string().empty() ? std::string("(none)") : value.as_string(); };
    fmt::print("  {} {}: {} -> {}\n", change["subject"].as_string(), change["field"].as_string(), shown(change["before"]), shown(change["after"]));
  }
  for (const auto& step : plan["steps"].as_array())
    fmt::print("  {:>6}  {}\n", step["seconds"].as_int() ? age(step["seconds"].as_double()) : "", step["name"].as_string());
  fmt::print("  about {} in all, {} at most", age(plan["expectedSeconds"].as_double()), age(plan["longestSeconds"].as_double()));
  std::string last;
  for (const auto& seconds : plan["lastDeploymentSeconds"].as_array()) last += (last.empty() ? "" : ", ") + age(seconds.as_double());
  fmt::print("{}\n", last.empty() ? "" : "; the last deployments took " + last);
}

Result<void> deploy_now(Client& client, const Options& options, const Found& service, const Json& plan) {
  auto definition = options.definition.empty() ? service.task_definition : options.definition;
  if (!options.images.empty()) {
    TRY(definition, deploy::register_again(client, definition, images_of(options)));
  }
  auto request = Json::object({{"taskDefinition", definition}, {"forceNewDeployment", options.force}});
  if (!options.strategy.empty()) request.set("deploymentConfiguration", Json::object({{"strategy", options.strategy}}));
  if (options.tasks) request.set("desiredCount", *options.tasks);
  TRY(auto arn, deploy::start(client, service, plan, std::move(request)));
  if (arn.empty()) {
    fmt::print(options.json ? stderr : stdout, "{}: {} is what it runs already (--force starts its tasks anew)\n", service.service, name_of_arn(definition));
  } else if (options.wait) {
    TRY_VOID(follow(client, service, arn, options.json));
  }
  if (options.json)
    fmt::print("{}\n", Json::object({{"service", service.service}, {"cluster", service.cluster}, {"taskDefinition", name_of_arn(definition)}, {"serviceDeploymentArn", arn},
                                     {"waited", options.wait && !arn.empty()}}).pretty());
  return {};
}

Result<void> run_deploy(const Options& options) {
  if (options.definition.empty() && options.images.empty() && !options.tasks && !options.force && options.strategy.empty() && !options.plan)
    return fail(Error{Code::InvalidArgument, "say what to deploy: --task-definition FAMILY[:REVISION], --image [CONTAINER=]IMAGE, --tasks N, or --force", "usage"});
  TRY(auto client, options.connect());
  TRY(auto service, deploy::find_service(client, options.service, options.cluster));
  TRY(auto plan, ask_for_plan(client, options, service));
  if (options.plan) {
    if (options.json) fmt::print("{}\n", plan.pretty());
    else print_plan(plan, service.service);
    if (!options.json) print_problems(plan, stdout);
  } else {
    print_problems(plan, stderr);
  }
  if (!plan["possible"].as_bool()) return fail(Code::FailedPrecondition, "{}: this cannot succeed; nothing was started", service.service);
  return options.plan ? Result<void>{} : deploy_now(client, options, service, plan);
}

}  // namespace

void add_deploy(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "deploy", "Deploy a task definition or an image to a service");
  verb->add_option("service,-s,--service", options->service, "The service, or the end of its name")->required();
  verb->add_option("-t,--task-definition", options->definition, "FAMILY (its newest revision), FAMILY:REVISION or ARN");
  verb->add_option("-i,--image", options->images, "Register the task definition again with this image; CONTAINER=IMAGE where it has several essential containers");
  verb->add_option("-n,--tasks", options->tasks, "Desired count")->check(CLI::Range(0, 5000));
  verb->add_option("--strategy", options->strategy, "ROLLING, BLUE_GREEN, CANARY or LINEAR; stays the service's")
      ->check(CLI::IsMember({"ROLLING", "BLUE_GREEN", "CANARY", "LINEAR"}, CLI::ignore_case));
  verb->add_flag("--force", options->force, "Start new tasks although nothing changes");
  verb->add_flag("--plan", options->plan, "Only say what would change, what would go wrong and how long it would take");
  verb->add_flag("--wait,!--no-wait", options->wait, "Follow the deployment to its end (default)");
  verb->add_option("--cluster", options->cluster, "Look in this cluster only");
  add_common(*verb, *options);
  verb->footer("Before anything starts the server looks whether it can succeed: images, secrets, ports, security groups, addresses, memory.\n"
               "Exit code 1, and nothing started, when it cannot.\n"
               "Examples:\n  watari deploy api --image shop:2 --plan\n  watari deploy api --image shop:2\n"
               "  watari deploy --service api --task-definition shop-api:14 --strategy CANARY --no-wait");
  verb->callback([options, &run] { run = [options] { return finish(run_deploy(*options)); }; });
}

}  // namespace watari::cli
