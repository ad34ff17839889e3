// What the meter measures, and under which names.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html,
// https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-cloudwatch-metrics.html and
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
#include <algorithm>

#include "control/balancing.h"
#include "control/evaluation.h"
#include "control/launch.h"
#include "control/meter.h"
#include "control/services.h"

namespace watari::control {
namespace {

constexpr Seconds kTasksEvery{10};
constexpr auto kBalancers = "AWS/ApplicationELB", kNetworkBalancers = "AWS/NetworkELB", kRevisions = "Watari/ECS", kTasks = "AWS/ECS";

bool is_network(const std::string& balancer) { return balancer.find(":loadbalancer/net/") != std::string::npos; }

// "arn:…:loadbalancer/app/web/50dc6c495c0c9188" -> "app/web/50dc6c495c0c9188"
std::string balancer_dimension(const std::string& arn) { return arn.substr(arn.find("/") + 1); }
// "arn:…:targetgroup/web/73e2d6bc24d8a067" -> "targetgroup/web/73e2d6bc24d8a067"
std::string group_dimension(const std::string& arn) { return arn.substr(arn.rfind(':') + 1); }

// Each request counts 1, so that the sum and the number of samples are what people ask for.
metrics::Summary ones(std::uint64_t count) {
  auto times = static_cast<double>(count);
  return metrics::totals(times, times, 1, 1);
}

// In seconds; the counters know classes only, so that a request counts as the middle of its class.
metrics::Summary seconds_of(const balancer::LatencyHistogram& latency) {
  metrics::Summary out;
  double low = 0;
  for (std::size_t i = 0; i < balancer::LatencyHistogram::kClasses; ++i) {
    auto high = balancer::LatencyHistogram::kBounds[i];
    if (auto times = latency.counts[i]) out.add((low + high) / 2000, static_cast<double>(times));
    low = high;
  }
  return out;
}

}  // namespace

void Meter::add(const model::Scope& scope, const model::Metric& metric, const char* unit, const metrics::Summary& samples) {
  // Refused only when there are too many metrics: those that are there go on.
  if (samples.count > 0) (void)store_.add(scope, metric, unit, control_.now(), samples);
}

void Meter::add_counters(const model::Scope& scope, const std::string& space, const std::vector<model::Dimension>& dimensions,
                         const balancer::Counters& counters) {
  auto count = [&](const char* name, std::uint64_t value) { add(scope, {space, name, dimensions}, "Count", ones(value)); };
  count("RequestCount", counters.requests);
  count("HTTPCode_Target_2XX_Count", counters.responses_2xx);
  count("HTTPCode_Target_3XX_Count", counters.responses_3xx);
  count("HTTPCode_Target_4XX_Count", counters.responses_4xx);
  count("HTTPCode_Target_5XX_Count", counters.responses_5xx);
  count("TargetConnectionErrorCount", counters.connection_errors);
  add(scope, {space, "TargetResponseTime", dimensions}, "Seconds", seconds_of(counters.latency));
}

const std::string* Meter::load_balancer_of(const std::string& group) {
  auto& state = *control_.state_;
  if (rules_version_ != state.rules.version() + state.listeners.version()) {
    rules_version_ = state.rules.version() + state.listeners.version();
    balancer_of_group_.clear();
    state.rules.each("", [&](const std::string&, const model::Rule& rule) {
      const auto* listener = state.listeners.find(rule.listener);
      for (const auto& share : rule.action.forward)
        if (listener) balancer_of_group_[share.target_group] = listener->load_balancer;
    });
  }
  auto found = balancer_of_group_.find(group);
  return found == balancer_of_group_.end() ? nullptr : &found->second;
}

void Meter::measure_balancers() {
  auto& state = *control_.state_;
  if (!control_.ports_.balancer || state.target_groups.size() == 0) return;
  for (const auto& counted : control_.ports_.balancer->counters()) {
    const auto* group = state.target_groups.find(counted.target_group);
    if (!group) continue;
    auto& seen = seen_groups_[counted.target_group];
    auto added = counted.total.since(seen);
    seen = counted.total;
    measure_group(*group, added);
    measure_revisions(*group, counted.targets);
  }
  std::erase_if(seen_groups_, [&](const auto& entry) { return !state.target_groups.has(entry.first); });
  std::erase_if(seen_targets_, [&](const auto& entry) { return !state.target_groups.has(entry.first); });
}

void Meter::measure_group(const model::TargetGroup& group, const balancer::Counters& counters) {
  const auto* balancer = load_balancer_of(group.arn);
  if (!balancer) return;
  if (is_network(*balancer)) {  // a request is a connection here
    add(group.scope, {kNetworkBalancers, "NewFlowCount", {{"LoadBalancer", balancer_dimension(*balancer)}}}, "Count", ones(counters.requests));
    return;
  }
  model::Dimension of_group{"TargetGroup", group_dimension(group.arn)}, of_balancer{"LoadBalancer", balancer_dimension(*balancer)};
  add_counters(group.scope, kBalancers, {of_balancer, of_group}, counters);
  add_counters(group.scope, kBalancers, {of_balancer}, counters);
  // What the load balancer answered by itself, because no target did.
  for (const auto& [name, count] : {std::pair("HTTPCode_ELB_5XX_Count", counters.refused), {"HTTPCode_ELB_502_Count", counters.refused_502},
                                    {"HTTPCode_ELB_503_Count", counters.refused_503}, {"HTTPCode_ELB_504_Count", counters.refused_504}})
    add(group.scope, {kBalancers, name, {of_balancer}}, "Count", ones(count));
}

// The same by the revision whose tasks answered, also where two of them share a target group.
void Meter::measure_revisions(const model::TargetGroup& group, const std::vector<balancer::TargetCounters>& targets) {
  auto& state = *control_.state_;
  auto& seen = seen_targets_[group.arn];
  std::map<std::string, balancer::Counters> by_address, now;
  for (const auto& target : targets) {
    auto name = target.address + ":" + std::to_string(target.port);
    by_address[target.address] += target.counters.since(seen[name]);
    now[name] = target.counters;
  }
  seen = std::move(now);
  std::erase_if(by_address, [](const auto& entry) { return entry.second.requests + entry.second.failures() + entry.second.latency.total() == 0; });
  if (by_address.empty()) return;
  struct Revision {
    const model::Task* task;
    balancer::Counters counters;
  };
  std::map<std::string, Revision> by_revision;  // service and revision
  state.tasks.each(scope_prefix(group.scope), [&](const std::string&, const model::Task& task) {
    auto found = by_address.find(task.address);
    if (found == by_address.end() || task.service.empty() || task.forgotten || task.vpc != group.vpc) return;
    by_revision.try_emplace(task.cluster + "/" + task.service + "/" + task.service_revision, Revision{&task, {}}).first->second.counters += found->second;
  });
  for (const auto& [key, revision] : by_revision) {
    const auto& task = *revision.task;
    model::Dimension cluster{"ClusterName", task.cluster}, service{"ServiceName", task.service};
    add_counters(task.scope, kRevisions, {cluster, {"RevisionId", task.service_revision}, service}, revision.counters);
    const auto* row = state.services.find(service_key(task.scope, task.cluster, task.service));
    if (!row) continue;
    auto deployments = deployments_of(state, *row);
    bool deploys = !deployments.empty() && in_progress(deployments.back().status);
    const char* role = deploys && task.service_revision == deployments.back().target.id ? "new" : "current";
    add_counters(task.scope, kRevisions, {cluster, {"Revision", role}, service}, revision.counters);
  }
}

void Meter::measure_health() {
  auto& state = *control_.state_;
  std::map<std::string, std::pair<int, int>> counts;  // healthy, unhealthy
  std::map<std::string, int> open;                    // connections
  for (const auto& health : control_.evaluation_->health) {
    auto& [healthy, unhealthy] = counts[health.target_group];
    healthy += health.state == model::TargetState::Healthy || health.state == model::TargetState::Unavailable;
    unhealthy += health.state == model::TargetState::Unhealthy;
    open[health.target_group] += health.in_flight;
  }
  std::map<std::string, std::pair<model::Scope, int>> flows;  // by network load balancer
  state.target_groups.each("", [&](const std::string& arn, const model::TargetGroup& group) {
    const auto* balancer = load_balancer_of(arn);
    if (!balancer) return;
    auto space = is_network(*balancer) ? kNetworkBalancers : kBalancers;
    if (is_network(*balancer)) {
      auto& [scope, flow] = flows[*balancer];
      scope = group.scope;
      flow += open[arn];
    }
    std::vector<model::Dimension> dimensions{{"LoadBalancer", balancer_dimension(*balancer)}, {"TargetGroup", group_dimension(arn)}};
    auto gauge = [&](const char* name, int value) { add(group.scope, {space, name, dimensions}, "Count", metrics::totals(1, value, value, value)); };
    gauge("HealthyHostCount", counts[arn].first);
    gauge("UnHealthyHostCount", counts[arn].second);
  });
  for (const auto& [balancer, flow] : flows)
    add(flow.first, {kNetworkBalancers, "ActiveFlowCount", {{"LoadBalancer", balancer_dimension(balancer)}}}, "Count",
        metrics::totals(1, flow.second, flow.second, flow.second));
}

// Percent of what the task definition reserves, one sample a task.
void Meter::measure_tasks() {
  auto now = control_.now();
  if (!control_.ports_.engine || (tasks_at_ && now < *tasks_at_ + kTasksEvery)) return;
  tasks_at_ = now;
  auto& state = *control_.state_;
  std::map<std::string, Cpu> seen;
  state.tasks.each("", [&](const std::string&, const model::Task& task) {
    if (task.service.empty() || task.status.state != model::TaskState::Running) return;
    const auto* definition = state.task_definitions.find(task_definition_key(task.scope, task.family, task.revision));
    auto usage = control_.ports_.engine->usage(task.id);
    if (!definition || !usage) return;
    auto [units, memory] = reserved_by(*definition);
    std::vector<model::Dimension> dimensions{{"ClusterName", task.cluster}, {"ServiceName", task.service}};
    auto percent = [&](const char* name, double value) {
      metrics::Summary samples;
      samples.add(value);
      add(task.scope, {kTasks, name, dimensions}, "Percent", samples);
    };
    if (memory > 0) percent("MemoryUtilization", 100.0 * static_cast<double>(usage->memory_bytes) / (static_cast<double>(memory) * 1024 * 1024));
    seen[task.id] = {now, usage->cpu_ns};
    auto before = seen_cpu_.find(task.id);
    if (units == 0 || before == seen_cpu_.end() || usage->cpu_ns < before->second.nanoseconds || now <= before->second.at) return;
    double cores = static_cast<double>(usage->cpu_ns - before->second.nanoseconds) / (static_cast<double>((now - before->second.at).count()) * 1e6);
    percent("CPUUtilization", 100.0 * cores * 1024 / static_cast<double>(units));
  });
  seen_cpu_ = std::move(seen);
}

}  // namespace watari::control
