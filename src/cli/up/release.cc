#include "cli/up/release.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "base/strings.h"
#include "cli/up/before.h"
#include "cli/up/diagnose.h"
#include "cli/up/patience.h"

namespace watari::cli::up {
namespace {

using codec::Json;

// What is described contains what is wanted: other members may be there.
bool covers(const Json& described, const Json& wanted) {
  if (wanted.is_object())
    return std::ranges::all_of(wanted.as_object(), [&](const auto& member) { return covers(described[member.first], member.second); });
  if (wanted.is_array()) {
    const auto& a = described.as_array();
    const auto& b = wanted.as_array();
    return a.size() == b.size() && std::ranges::equal(a, b, covers);
  }
  return described == wanted || (wanted.is_number() && described.as_double() == wanted.as_double());
}

Json deployment_configuration(const Release& release) {
  auto strategy = release.strategy;
  auto out = Json::object({{"strategy", strategy == Strategy::BlueGreen ? "BLUE_GREEN" : "ROLLING"},
                           {"minimumHealthyPercent", strategy == Strategy::Recreate ? 0 : 100},
                           {"maximumPercent", strategy == Strategy::Recreate ? 100 : 200},
                           {"deploymentCircuitBreaker", Json::object({{"enable", true}, {"rollback", true}})}});
  if (strategy == Strategy::BlueGreen) out.set("bakeTimeInMinutes", (release.bake.count() + 59) / 60);
  return out;
}

Json load_balancers(const Service& service, const Balanced& balanced) {
  auto entry = Json::object({{"targetGroupArn", balanced.blue},
                             {"containerName", service.load_balancer->container},
                             {"containerPort", service.load_balancer->container_port}});
  if (service.release.strategy == Strategy::BlueGreen)
    entry.set("advancedConfiguration", Json::object({{"alternateTargetGroupArn", balanced.green},
                                                     {"productionListenerRule", balanced.production_rule},
                                                     {"roleArn", "arn:aws:iam::123456789012:role/ecsInfrastructureRole"}}));
  return Json::array({entry});
}

// Other tasks of the application reach the service by its name.
Json service_connect(const App& app, const Service& service) {
  auto out = Json::object({{"enabled", true}, {"namespace", app.cluster()}});
  auto names = Json::array();
  std::set<int> ports;
  for (const auto& container : service.containers)
    for (int port : container.ports) {
      if (!ports.insert(port).second) continue;
      auto discovery = ports.size() == 1 ? service.name : fmt::format("{}-{}", service.name, port);
      names.push(Json::object({{"portName", fmt::format("{}-{}", container.name, port)},
                               {"discoveryName", discovery},
                               {"clientAliases", Json::array({Json::object({{"port", port}, {"dnsName", service.name}})})}}));
    }
  if (!names.as_array().empty()) out.set("services", names);
  return out;
}

// After a switch the two groups have changed places; which one is current is not ours to say. A service that turned rolling goes on in either,
// and may still show the pair.
bool same_balancing(const Json& described, const Json& wanted) {
  if (described.as_array().size() != wanted.as_array().size()) return false;
  auto groups = [](const Json& entry) {
    return std::set<std::string>{entry["targetGroupArn"].as_string(), entry["advancedConfiguration"]["alternateTargetGroupArn"].as_string()};
  };
  return std::ranges::equal(described.as_array(), wanted.as_array(), [&](const Json& a, const Json& b) {
    bool pair = b["advancedConfiguration"].is_object();
    bool same = pair ? groups(a) == groups(b) && a["advancedConfiguration"]["productionListenerRule"] == b["advancedConfiguration"]["productionListenerRule"]
                     : groups(a).contains(b["targetGroupArn"].as_string());
    return same && a["containerName"] == b["containerName"] && a["containerPort"] == b["containerPort"];
  });
}

const Json& primary(const Json& service) {
  static const Json none;
  for (const auto& deployment : service["deployments"].as_array())
    if (deployment["status"].as_string() == "PRIMARY") return deployment;
  return none;
}

Result<Json> describe(Client& client, const App& app, const std::string& name) {
  TRY(auto answer, patiently(client, "ecs", "DescribeServices", Json::object({{"cluster", app.cluster()}, {"services", Json::array({name})}})));
  for (const auto& service : answer["services"].as_array())
    if (service["status"].as_string() == "ACTIVE") return service;
  return Json();
}

std::string words_of_stage(const std::string& stage) {
  static const std::map<std::string, std::string> words = {
      {"RECONCILE_SERVICE", "preparing"}, {"PRE_SCALE_UP", "preparing"}, {"SCALE_UP", "starting"}, {"POST_SCALE_UP", "started"},
      {"TEST_TRAFFIC_SHIFT", "switching test traffic"}, {"POST_TEST_TRAFFIC_SHIFT", "test traffic switched"},
      {"PRODUCTION_TRAFFIC_SHIFT", "switching traffic"}, {"POST_PRODUCTION_TRAFFIC_SHIFT", "traffic switched"},
      {"BAKE_TIME", "traffic switched, the old revision stands by"}, {"CLEAN_UP", "stopping the old revision"}};
  auto found = words.find(stage);
  return found == words.end() ? "starting" : found->second;
}

// One service while it is being released.
class Watch {
 public:
  Watch(Client& client, const App& app, const Network& network, Rollout& rollout, Progress& progress)
      : client_(client), app_(app), network_(network), rollout_(rollout), progress_(progress), service_(*rollout.service) {}

  // Looks at what is there; orders what is missing. False: nothing to wait for.
  Result<bool> begin() {
    TRY(auto described, describe(client_, app_, rollout_.full_name));
    rollout_.former = described["taskDefinition"].as_string();
    auto changes = differences(described);
    const auto& state = primary(described)["rolloutState"].as_string();
    if (!described.is_null() && changes.as_object().empty() && state != "FAILED") {
      deployment_ = primary(described)["id"].as_string();
      if (state == "IN_PROGRESS") return true;
      progress_.line(service_.name, fmt::format("unchanged: {}, {} of {} running", name_of_arn(rollout_.definition),
                                                described["runningCount"].as_int(), described["desiredCount"].as_int()));
      return false;
    }
    rollout_.changed = true;
    // Scaling alone needs no migration.
    if (!rollout_.before_definition.empty() && (described.is_null() || changes.has("taskDefinition")))
      TRY_VOID(run_before(client_, app_, network_, rollout_, progress_));
    TRY(auto answer, described.is_null() ? create() : update(std::move(changes), state == "FAILED"));
    deployment_ = primary(answer["service"])["id"].as_string();
    return true;
  }

  // True when the release is done; an error when it has failed for good.
  Result<bool> poll() {
    TRY(auto described, describe(client_, app_, rollout_.full_name));
    if (described.is_null()) return fail(Code::FailedPrecondition, "{}: the service was deleted meanwhile", service_.name);
    TRY(auto detail, service_deployment());
    note_probe();
    auto status = detail["status"].as_string();
    tell(described, detail);
    bool completed = status == "SUCCESSFUL" || (detail.is_null() && rollout_state(described) == "COMPLETED");
    if (completed) {
      rollout_.seconds = watch_.seconds();
      progress_.line(service_.name, fmt::format("serves {}, {} of {} running ({})", name_of_arn(rollout_.definition),
                                                running_of(described), described["desiredCount"].as_int(), watch_.text()));
      return true;
    }
    bool failed = status == "STOPPED" || status == "ROLLBACK_SUCCESSFUL" || status == "ROLLBACK_FAILED" ||
                  (detail.is_null() && rollout_state(described) == "FAILED");
    if (failed) return fail(failure(described, detail));
    if (status.starts_with("ROLLBACK") || status == "STOP_REQUESTED") note_evidence();
    if (watch_.seconds() > static_cast<double>(service_.release.timeout.count())) return give_up(described, detail);
    return false;
  }

  const Rollout& rollout() const { return rollout_; }

 private:
  Json differences(const Json& described) {
    auto changes = Json::object();
    if (described["taskDefinition"].as_string() != rollout_.definition) changes.set("taskDefinition", rollout_.definition);
    if (described["desiredCount"].as_int(-1) != service_.replicas) changes.set("desiredCount", service_.replicas);
    auto configuration = deployment_configuration(service_.release);
    if (!covers(described["deploymentConfiguration"], configuration)) changes.set("deploymentConfiguration", configuration);
    auto network = network_configuration(network_);
    if (!covers(described["networkConfiguration"], network)) changes.set("networkConfiguration", network);
    auto balancing = service_.load_balancer ? load_balancers(service_, network_.balanced.at(service_.name)) : Json::array();
    if (!same_balancing(described["loadBalancers"], balancing)) changes.set("loadBalancers", balancing);
    auto connect = service_connect(app_, service_);
    // The namespace is shown as an ARN; it is the cluster's name, which a service cannot change.
    auto names = connect.has("services") ? Json::object({{"services", connect["services"]}}) : Json::object();
    const auto& shown = primary(described)["serviceConnectConfiguration"];
    if (!shown.is_object() || !covers(shown, names)) changes.set("serviceConnectConfiguration", connect);
    return changes;
  }

  Result<Json> create() {
    auto request = differences(Json());
    request.set("cluster", app_.cluster()).set("serviceName", rollout_.full_name);
    auto created = client_.call("ecs", "CreateService", request);
    if (created || created.error().code != Code::Unavailable) return created;
    // The server went away before it answered: whether the service was made, it tells when it is back.
    TRY(auto described, describe(client_, app_, rollout_.full_name));
    if (described.is_null()) return client_.call("ecs", "CreateService", request);
    return Json::object({{"service", described}});
  }

  Result<Json> update(Json changes, bool force) {
    changes.set("cluster", app_.cluster());
    changes.set("service", rollout_.full_name);
    if (force) changes.set("forceNewDeployment", true);
    return patiently(client_, "ecs", "UpdateService", changes);
  }

  // The service deployment whose id ends that of our entry in Service.deployments; null while there is none.
  Result<Json> service_deployment() {
    if (arn_.empty()) {
      auto digits = name_of_arn(deployment_);
      TRY(auto list, patiently(client_, "ecs", "ListServiceDeployments",
                               Json::object({{"cluster", app_.cluster()}, {"service", rollout_.full_name}})));
      for (const auto& item : list["serviceDeployments"].as_array())
        if (name_of_arn(item["serviceDeploymentArn"].as_string()) == digits) arn_ = item["serviceDeploymentArn"].as_string();
      if (arn_.empty()) return Json();
    }
    TRY(auto answer, patiently(client_, "ecs", "DescribeServiceDeployments", Json::object({{"serviceDeploymentArns", Json::array({arn_})}})));
    const auto& items = answer["serviceDeployments"].as_array();
    return items.empty() ? Json() : items[0];
  }

  const Json& entry_of(const Json& described) const {
    static const Json none;
    for (const auto& deployment : described["deployments"].as_array())
      if (deployment["id"].as_string() == deployment_) return deployment;
    return none;
  }

  std::string rollout_state(const Json& described) const {
    const auto& entry = entry_of(described);
    return entry.is_null() ? "FAILED" : entry["rolloutState"].as_string();  // replaced by a newer one, or rolled back
  }

  // Tasks of the old revision may still be ending.
  std::int64_t running_of(const Json& described) const {
    const auto& entry = entry_of(described);
    return entry.is_null() ? described["runningCount"].as_int() : entry["runningCount"].as_int();
  }

  void note_probe() {
    auto balanced = network_.balanced.find(service_.name);
    if (balanced == network_.balanced.end()) return;
    healthy_ = 0;
    for (const auto& group : {balanced->second.blue, balanced->second.green}) {
      auto health = client_.call("elbv2", "DescribeTargetHealth", Json::object({{"TargetGroupArn", group}}));
      if (!health) continue;
      for (const auto& target : (*health)["TargetHealthDescriptions"].as_array()) {
        const auto& state = target["TargetHealth"]["State"].as_string();
        healthy_ += state == "healthy";
        if (state == "unhealthy")
          probe_ = fmt::format("{}:{}: {}", target["Target"]["Id"].as_string(), target["Target"]["Port"].as_string(),
                               target["TargetHealth"]["Description"].as_string());
      }
    }
  }

  void tell(const Json& described, const Json& detail) {
    auto stage = words_of_stage(detail["lifecycleStage"].as_string());
    if (detail["status"].as_string().starts_with("ROLLBACK")) stage = "going back to the old revision";
    const auto& entry = entry_of(described);
    auto running = entry["runningCount"].as_int(), pending = entry["pendingCount"].as_int();
    bool over = !detail.is_null() && detail["lifecycleStage"].as_string().empty();
    if (!over && stage != stage_ && stage != "preparing") {
      progress_.line(service_.name, fmt::format("{}: {} ({})", name_of_arn(rollout_.definition), stage, watch_.text()));
      stage_ = stage;
    }
    auto text = fmt::format("{}: {}, {} running, {} starting", service_.name, stage, running, pending);
    if (service_.load_balancer) text += fmt::format(", {} targets healthy", healthy_);
    progress_.now(fmt::format("{} ({})", text, watch_.text()));
  }

  // While the tasks of the failed revision are still known.
  void note_evidence() {
    if (evidence_.empty()) evidence_ = diagnose_service(client_, app_.cluster(), rollout_.full_name, rollout_.definition);
  }

  Error failure(const Json& described, const Json& detail) {
    note_evidence();
    auto reason = detail["statusReason"].as_string();
    if (reason.empty()) reason = primary(described)["rolloutStateReason"].as_string();
    auto message = fmt::format("{}: the release of {} failed{}\n", service_.name, name_of_arn(rollout_.definition),
                               gave_up_ ? fmt::format(" (not done within {} s, release.timeout)", service_.release.timeout.count()) : "");
    if (!reason.empty()) message += "  " + reason + "\n";
    if (!probe_.empty()) message += "  last probe of " + probe_ + "\n";
    message += evidence_;
    if (rollout_.former.empty()) message += "  it was the first revision: nothing serves\n";
    else message += fmt::format("  {} goes on serving\n", name_of_arn(rollout_.former));
    return {Code::FailedPrecondition, message};
  }

  Result<bool> give_up(const Json& described, const Json& detail) {
    if (gave_up_) {
      if (watch_.seconds() < static_cast<double>(service_.release.timeout.count()) + 120) return false;
      return fail(failure(described, detail));
    }
    gave_up_ = true;
    note_evidence();
    if (arn_.empty()) return fail(failure(described, detail));
    auto stopped = client_.call("ecs", "StopServiceDeployment", Json::object({{"serviceDeploymentArn", arn_}, {"stopType", "ROLLBACK"}}));
    if (!stopped) return fail(failure(described, detail));
    return false;
  }

  Client& client_;
  const App& app_;
  const Network& network_;
  Rollout& rollout_;
  Progress& progress_;
  const Service& service_;
  Stopwatch watch_;
  std::string deployment_, arn_, stage_, probe_, evidence_;
  int healthy_ = 0;
  bool gave_up_ = false;
};

}  // namespace

Result<void> release(Client& client, const App& app, const Network& network, std::vector<Rollout*> wave, Progress& progress) {
  std::vector<std::unique_ptr<Watch>> waiting;
  std::string failures;
  auto note = [&](const Error& error) { failures += (failures.empty() ? "" : "\n") + std::string(trim(error.message)); };
  for (auto* rollout : wave) {
    auto watch = std::make_unique<Watch>(client, app, network, *rollout, progress);
    auto begun = watch->begin();
    if (!begun) note(begun.error());
    else if (*begun) waiting.push_back(std::move(watch));
  }
  auto pause = Millis(50);
  while (!waiting.empty()) {
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 3 / 2, Millis(250));
    std::erase_if(waiting, [&](const auto& watch) {
      auto done = watch->poll();
      if (!done) note(done.error());
      return !done || *done;
    });
  }
  if (!failures.empty()) return fail(Code::FailedPrecondition, "{}", failures);
  return {};
}

}  // namespace watari::cli::up
