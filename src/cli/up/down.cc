// watari down: removes what `watari up` made for an application in an environment. It can be repeated: what is gone is passed over.
#include <CLI/CLI.hpp>
#include <iostream>
#include <thread>

#include "base/strings.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/up/app.h"
#include "cli/up/footprint.h"
#include "cli/up/progress.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;
using namespace up;

struct Options : Common {
  std::string directory = ".", environment;
  std::vector<std::string> services;  // only these; empty: everything
  bool yes = false, volumes = false;
};

class Removal {
 public:
  Removal(Client& client, const Footprint& found, bool volumes, bool json) : client_(client), found_(found), volumes_(volumes), progress_(json) {}

  // Traffic first, so that nothing is sent to what is leaving; the cluster last.
  Result<void> run() {
    TRY_VOID(each(found_.listeners, "elbv2", "DeleteListener", "ListenerArn", {"ListenerNotFound"}));
    TRY_VOID(remove_services());
    TRY_VOID(stop_tasks());
    if (!found_.balancer.empty()) TRY_VOID(each({found_.balancer}, "elbv2", "DeleteLoadBalancer", "LoadBalancerArn", {}));
    TRY_VOID(each(found_.target_groups, "elbv2", "DeleteTargetGroup", "TargetGroupArn", {}));
    for (const auto& group : found_.groups) TRY_VOID(each({group}, "ec2", "DeleteSecurityGroup", "GroupId", {"InvalidGroup.NotFound"}));
    TRY_VOID(remove_definitions());
    if (!found_.cluster.empty() && found_.whole) TRY_VOID(each({found_.cluster}, "ecs", "DeleteCluster", "cluster", {}));
    if (volumes_) TRY_VOID(each(found_.volumes, "watari", "DeleteVolume", "name", {"ResourceNotFoundException"}));
    return {};
  }

 private:
  Result<void> each(const Names& names, const char* service, const char* operation, const char* member, std::initializer_list<std::string_view> gone) {
    for (const auto& name : names) {
      TRY_VOID(unless(client_.call(service, operation, Json::object({{member, name}})), gone));
      progress_.line("removed", name_of_arn(name));
    }
    return {};
  }

  Result<void> remove_services() {
    for (const auto& name : found_.services) {
      auto request = Json::object({{"cluster", found_.cluster}, {"service", name}, {"force", true}});
      TRY_VOID(unless(client_.call("ecs", "DeleteService", request), {"ServiceNotActiveException", "ServiceNotFoundException"}));
    }
    Stopwatch watch;
    auto left = found_.services;
    for (auto pause = Millis(50); !left.empty(); pause = std::min(pause * 3 / 2, Millis(500))) {
      for (const auto& name : Names(left)) {
        TRY(auto answer, client_.call("ecs", "DescribeServices", Json::object({{"cluster", found_.cluster}, {"services", Json::array({name})}})));
        const auto& services = answer["services"].as_array();
        if (!services.empty() && services[0]["status"].as_string() != "INACTIVE") continue;
        left.erase(name);
        progress_.line("removed", name);
      }
      if (left.empty()) break;
      progress_.now(fmt::format("{} finish their requests and stop ({})", join(std::vector<std::string>(left.begin(), left.end()), ", "), watch.text()));
      std::this_thread::sleep_for(pause);
    }
    return {};
  }

  Result<void> stop_tasks() {
    for (const auto& task : found_.tasks)
      TRY_VOID(client_.call("ecs", "StopTask", Json::object({{"cluster", found_.cluster}, {"task", task}, {"reason", "watari down"}})));
    while (!found_.tasks.empty()) {
      TRY(auto left, client_.call("ecs", "ListTasks", Json::object({{"cluster", found_.cluster}})));
      if (left["taskArns"].as_array().empty()) break;
      progress_.now(fmt::format("{} tasks stop", left["taskArns"].as_array().size()));
      std::this_thread::sleep_for(Millis(200));
    }
    return {};
  }

  Result<void> remove_definitions() {
    for (const auto& family : found_.families) {
      TRY(auto list, client_.call_all("ecs", "ListTaskDefinitions", Json::object({{"familyPrefix", family}}), "taskDefinitionArns"));
      for (const auto& arn : list.as_array()) TRY_VOID(client_.call("ecs", "DeregisterTaskDefinition", Json::object({{"taskDefinition", arn}})));
      progress_.line("removed", fmt::format("{}: {} revisions are deregistered", family, list.as_array().size()));
    }
    return {};
  }

  Client& client_;
  const Footprint& found_;
  bool volumes_;
  Progress progress_;
};

std::string words(const Names& names) {
  std::vector<std::string> out;
  for (const auto& name : names) out.push_back(name_of_arn(name));
  return join(out, ", ");
}

void print_found(const Footprint& found, const App& app, bool volumes) {
  fmt::print("{} ({}): this is removed\n", app.name, app.environment);
  auto line = [](const char* what, const std::string& names) {
    if (!names.empty()) fmt::print("  {:<17} {}\n", what, names);
  };
  line("services", words(found.services));
  line("tasks", words(found.tasks));
  line("load balancer", name_of_arn(found.balancer));
  line("listeners", found.listeners.empty() ? "" : std::to_string(found.listeners.size()));
  line("target groups", found.target_groups.empty() ? "" : std::to_string(found.target_groups.size()));
  line("security groups", join(found.groups, ", "));
  line("task definitions", words(found.families));
  if (found.whole) line("cluster", found.cluster);
  if (volumes) line("volumes", words(found.volumes));
  else if (!found.volumes.empty()) fmt::print("and this stays (--volumes erases it)\n  {:<17} {}\n", "volumes", words(found.volumes));
  fmt::print("Images, parameters and logs stay.\n");
}

Result<bool> confirmed(const Options& options) {
  if (options.yes) return true;
  if (!is_terminal_input()) return fail(Code::FailedPrecondition, "nothing is removed without --yes");
  fmt::print("Remove it? [y/N] ");
  std::fflush(stdout);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "yes";
}

Json to_json(const App& app, const Footprint& found, bool volumes) {
  auto list = [](const auto& names) {
    auto out = Json::array();
    for (const auto& name : names) out.push(name_of_arn(name));
    return out;
  };
  return Json::object({{"app", app.name}, {"environment", app.environment}, {"services", list(found.services)}, {"tasks", list(found.tasks)},
                       {"loadBalancer", name_of_arn(found.balancer)}, {"targetGroups", list(found.target_groups)}, {"securityGroups", list(found.groups)},
                       {"taskDefinitions", list(found.families)}, {"cluster", found.whole ? found.cluster : ""}, {"volumes", list(volumes ? found.volumes : Names())},
                       {"keptVolumes", list(volumes ? Names() : found.volumes)}});
}

Result<void> run_down(const Options& options) {
  TRY(auto app, read_app(options.directory, options.environment));
  TRY(auto client, options.connect());
  Names only;
  for (const auto& name : options.services) only.insert(name.starts_with(app.cluster() + "-") ? name : app.full_name(name));
  TRY(auto found, find_footprint(client, app, only));
  if (found.nothing(options.volumes)) {
    auto kept = found.volumes.empty() ? "" : " but volumes, which --volumes erases: " + words(found.volumes);
    if (options.json) fmt::print("{}\n", to_json(app, found, options.volumes).pretty());
    else fmt::print("there is nothing of {} ({}){}\n", app.name, app.environment, kept);
    return {};
  }
  if (!options.json) print_found(found, app, options.volumes);
  TRY(auto go, confirmed(options));
  if (!go) return fail(Code::Cancelled, "nothing was removed");
  client.set_patience(Seconds(60));
  TRY_VOID(Removal(client, found, options.volumes, options.json).run());
  if (options.json) fmt::print("{}\n", to_json(app, found, options.volumes).pretty());
  return {};
}

}  // namespace

void add_down(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "down", "Remove what `watari up` made for an application");
  verb->add_option("directory", options->directory, "Where watari.yml is")->capture_default_str();
  verb->add_option("--env", options->environment, "Which of its environments; may be left out when there is one");
  verb->add_option("--service", options->services, "Only this service of it, also one that is gone from watari.yml");
  verb->add_flag("--volumes", options->volumes, "Erase its volumes, too: their data is lost");
  verb->add_flag("-y,--yes", options->yes, "Do not ask");
  add_common(*verb, *options);
  verb->footer("Examples:\n  watari down\n  watari down examples/reservations --env staging --yes\n  watari down --service worker\n"
               "Services finish their requests first. Images, parameters and logs stay, and volumes without --volumes.");
  verb->callback([options, &run] { run = [options] { return finish(run_down(*options)); }; });
}

}  // namespace watari::cli
