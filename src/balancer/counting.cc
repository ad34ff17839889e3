#include "balancer/counting.h"

#include <algorithm>

namespace watari::balancer {

namespace {

Counters counters_of(const ServerStat& stat) {
  return {.requests = stat.total, .responses_2xx = stat.responses[2], .responses_3xx = stat.responses[3], .responses_4xx = stat.responses[4],
          .responses_5xx = stat.responses[5], .connection_errors = stat.connection_errors, .response_errors = stat.response_errors, .refused = 0, .refused_502 = 0, .refused_503 = 0, .refused_504 = 0, .latency = {}};
}

std::string key_of(const ServerStat& stat) { return stat.backend + "/" + stat.server; }

}  // namespace

void Counting::adopt(int process, const std::vector<ServerStat>& stats) {
  for (const auto& stat : stats) seen_[process][key_of(stat)] = {stat.address, counters_of(stat)};
}

void Counting::take(int process, const std::vector<ServerStat>& stats) {
  auto& servers = seen_[process];
  for (const auto& stat : stats) {
    auto now = counters_of(stat);
    auto& seen = servers[key_of(stat)];
    auto added = now.since(seen.counters);
    // What a slot counted before it changed hands was for the former target.
    auto address = seen.address.empty() ? stat.address : seen.address;
    seen = {stat.address, now};
    if (added.requests + added.connection_errors + added.response_errors == 0 && added.responses_5xx == 0) continue;
    auto& group = groups_[stat.backend];
    if (stat.server == "BACKEND") {
      group.all_5xx += added.responses_5xx;
      continue;
    }
    group.total += added;
    group.targets[address] += added;
  }
  // A target's answer is counted when it comes, the backend's when it is through: never down.
  for (auto& [name, group] : groups_)
    if (group.all_5xx > group.total.responses_5xx) group.total.refused = std::max(group.total.refused, group.all_5xx - group.total.responses_5xx);
}

std::vector<std::string> Counting::untold() const {
  std::vector<std::string> out;
  for (const auto& [name, group] : groups_)
    if (group.total.refused > group.told) out.push_back(name);
  return out;
}

void Counting::adopt_errors(int process, const std::map<std::string, OwnErrors>& errors) {
  for (const auto& [backend, now] : errors) seen_errors_[process][backend] = now;
}

void Counting::take_errors(int process, const std::map<std::string, OwnErrors>& errors) {
  for (const auto& [backend, now] : errors) {
    auto& seen = seen_errors_[process][backend];
    auto& total = groups_[backend].total;
    total.refused_502 += now.bad_gateway - std::min(seen.bad_gateway, now.bad_gateway);
    total.refused_504 += now.timeouts - std::min(seen.timeouts, now.timeouts);
    seen = now;
  }
}

// Errors are counted apart when they are made, and as 5xx when they are through: what is no 502 or 504 is never counted down.
void Counting::told(const std::string& backend) {
  auto& group = groups_[backend];
  group.told = group.total.refused;
  auto others = group.total.refused_502 + group.total.refused_504;
  if (group.total.refused > others) group.total.refused_503 = std::max(group.total.refused_503, group.total.refused - others);
}

void Counting::forget(int process) {
  seen_.erase(process);
  seen_errors_.erase(process);
}

void Counting::time(int process, const std::string& backend, const std::string& server, double milliseconds) {
  auto servers = seen_.find(process);
  if (servers == seen_.end()) return;
  auto slot = servers->second.find(backend + "/" + server);
  if (slot == servers->second.end()) return;
  auto& group = groups_[backend];
  group.total.latency.add(milliseconds);
  group.targets[slot->second.address].latency.add(milliseconds);
}

void Counting::keep(const std::map<std::string, std::vector<std::string>>& targets_of) {
  std::erase_if(groups_, [&](const auto& group) { return !targets_of.contains(group.first); });
  for (auto& [name, group] : groups_) {
    const auto& known = targets_of.at(name);
    std::erase_if(group.targets, [&](const auto& target) { return std::ranges::find(known, target.first) == known.end(); });
  }
}

}  // namespace watari::balancer
