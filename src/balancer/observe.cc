// What HAProxy says about its servers, in AWS's words.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
#include <algorithm>

#include "balancer/haproxy.h"
#include "base/log.h"
#include "base/strings.h"

namespace watari::balancer {

namespace {

// "HTTP status 503 after 4 ms: Service Unavailable"
std::string probe_in_words(const ServerStat& stat) {
  const auto& status = stat.check_status;
  auto after = fmt::format(" after {} ms", stat.check_duration);
  auto more = stat.last_check.empty() ? std::string() : ": " + stat.last_check;
  if (stat.check_code > 0) return fmt::format("HTTP status {}{}{}", stat.check_code, after, more);
  if (status == "L4CON") return "connection refused or broken" + after + more;
  if (status == "L4TOUT") return "no connection" + after + more;
  if (status == "L7TOUT" || status == "L6TOUT") return "connected, but no answer" + after + more;
  if (status == "L7RSP") return "the answer is no valid HTTP" + after + more;
  if (status == "L4OK") return "connected" + after;
  if (status.empty() || status == "INI" || status == "UNK") return "not probed yet";
  return status + after + more;
}

std::string reason_of(const ServerStat& stat) {
  if (stat.check_status == "L7STS") return "Target.ResponseCodeMismatch";
  if (stat.check_status.ends_with("TOUT")) return "Target.Timeout";
  return "Target.FailedHealthChecks";
}

}  // namespace

std::map<std::string, int> Haproxy::count_sessions(const std::vector<ServerStat>& stats) {
  std::map<std::string, int> sessions;
  auto add = [&](const std::vector<ServerStat>& lines) {
    for (const auto& stat : lines) {
      auto backend = stat.backend.ends_with(".open") ? stat.backend.substr(0, stat.backend.size() - 5) : stat.backend;
      if (stat.sessions > 0) sessions[backend + " " + stat.address] += stat.sessions;
    }
  };
  add(stats);
  sweep();
  for (const auto& process : replaced_)
    if (auto answer = process->command("show stat -1 4 -1")) add(parse_stat(*answer));
  return sessions;
}

void Haproxy::take_states(const std::vector<ServerStat>& stats) {
  for (const auto& stat : stats) {
    auto table = tables_.find(stat.backend);
    if (table == tables_.end() || !stat.server.starts_with("s")) continue;
    auto index = parse_number<std::size_t>(stat.server.substr(1)).value_or(0);
    if (index == 0 || index > table->second.slots.size()) continue;
    auto& slot = table->second.slots[index - 1];
    if (slot.free() || slot.address != stat.address) continue;
    slot.up = stat.status.starts_with("UP") || stat.status.starts_with("DRAIN");
    if (slot.up) slot.ever_healthy = true;
  }
}

model::TargetHealth Haproxy::health_of(const model::Target& target, const ServerStat* stat, const Slot* slot) const {
  model::TargetHealth health{.target_group = target.target_group, .address = target.address, .port = target.port};
  if (stat) health.description = probe_in_words(*stat);
  if (target.draining_until) {
    health.state = model::TargetState::Draining;
    health.reason = "Target.DeregistrationInProgress";
  } else if (slot && slot->up) {
    health.state = model::TargetState::Healthy;
  } else if (slot && slot->settled && stat) {
    health.state = model::TargetState::Unhealthy;
    health.reason = reason_of(*stat);
  } else {
    health.state = model::TargetState::Initial;
    health.reason = stat && stat->check_status != "INI" ? "Elb.InitialHealthChecking" : "Elb.RegistrationInProgress";
  }
  return health;
}

Result<std::vector<model::TargetHealth>> Haproxy::observe(const Snapshot& snapshot) {
  std::vector<ServerStat> stats;
  if (running()) {
    TRY(auto csv, process_->command("show stat -1 4 -1"));
    stats = parse_stat(csv);
  }
  auto sessions = count_sessions(stats);
  take_states(stats);
  std::map<std::string, const ServerStat*> by_server;
  for (const auto& stat : stats) by_server[stat.backend + "/" + stat.server] = &stat;

  std::vector<model::TargetHealth> all;
  for (const auto& target : snapshot.targets) {
    auto backend = std::ranges::find(plan_.backends, target.target_group, &Backend::group);
    if (backend == plan_.backends.end()) {
      all.push_back({.target_group = target.target_group, .address = target.address, .port = target.port,
                     .state = target.draining_until ? model::TargetState::Draining : model::TargetState::Unused,
                     .reason = target.draining_until ? "Target.DeregistrationInProgress" : "Target.NotInUse",
                     .description = "Target group is not configured to receive traffic from the load balancer"});
      continue;
    }
    auto& table = tables_[backend->name];
    auto address = fmt::format("{}:{}", target.address, target.port);
    auto* slot = table.find(address);
    const ServerStat* stat = nullptr;
    if (slot) {
      auto index = static_cast<std::size_t>(slot - table.slots.data());
      auto name = fmt::format("s{}", index + 1);
      if (auto found = by_server.find(backend->name + "/" + name); found != by_server.end()) stat = found->second;
      if (stat && !slot->up && !slot->draining && !slot->ever_healthy && stat->check_health > 0) {
        TRY_VOID(order(fmt::format("set server {}/{} health up", backend->name, name)));
        slot->up = slot->ever_healthy = true;
      }
      bool failed_long = Steady::now() - slot->since > backend->interval * backend->fall + backend->timeout;
      if (!slot->settled && !slot->draining && (slot->up || failed_long)) {
        TRY_VOID(order(fmt::format("set server {}.open/{} state ready", backend->name, name)));
        slot->settled = true;
      }
    }
    auto health = health_of(target, stat, slot);
    health.in_flight = sessions[backend->name + " " + address];
    // A request may be on its way between HAProxy's choice and its count while draining begins.
    if (target.draining_until && slot && Steady::now() - slot->drained < Millis(20)) health.in_flight = std::max(health.in_flight, 1);
    all.push_back(std::move(health));
  }
  return all;
}

}  // namespace watari::balancer
