// What HAProxy says about its servers, in AWS's words.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
#include <unistd.h>

#include <algorithm>
#include <span>
#include <unordered_map>

#include "balancer/haproxy.h"
#include "base/log.h"
#include "base/strings.h"

namespace watari::balancer {

namespace {

constexpr Millis kRound{900};
constexpr std::size_t kAskedAtOnce = 20;

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
  if (status == "L7STS") return "another gRPC status" + after;
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

// Those in which something begins, leaves or is down are asked at each look, the others about every second: the answer about thousands of
// servers takes HAProxy tens of milliseconds. Of a replaced process only what leaves matters at once.
std::vector<const Backend*> Haproxy::to_ask(const Process& process) {
  auto& seen = seen_[process.number()];
  auto now = Steady::now();
  bool newest = &process == process_.get();
  std::vector<const Backend*> out;
  for (const auto& backend : wanted_.plan.backends) {
    const auto& slots = wanted_.tables[backend.name].slots;
    bool leaves = strays_ || std::ranges::any_of(overdue_, [&](const auto& entry) { return entry.first == backend.name; });
    bool moves = leaves || std::ranges::any_of(slots, [&](const Slot& slot) { return slot.draining || (newest && !slot.free() && (!slot.up || !slot.settled)); });
    if (moves || now - seen[backend.name].at > kRound) out.push_back(&backend);
  }
  return out;
}

// A few at a time: HAProxy writes a whole answer before its thread serves anybody else. Free slots, which are most, are left out: they are in
// maintenance. So are draining ones of sticky backends.
Result<void> Haproxy::ask(const Process& process, const std::vector<const Backend*>& backends, int interrupt) {
  auto& seen = seen_[process.number()];
  for (std::size_t from = 0; from < backends.size(); from += kAskedAtOnce) {
    auto some = std::span(backends).subspan(from, std::min(kAskedAtOnce, backends.size() - from));
    std::string text;
    for (const auto* backend : some) {
      bool all = strays_ || std::ranges::any_of(overdue_, [&](const auto& entry) { return entry.first == backend->name; }) ||
                 (backend->sticky && std::ranges::any_of(wanted_.tables[backend->name].slots, &Slot::draining));
      text += fmt::format("{}show stat {} 6 -1{}", text.empty() ? "" : "; ", backend->name, all ? "" : " no-maint");
    }
    TRY(auto csv, process.command(text, interrupt));
    auto stats = parse_stat(csv);
    counting_.take(process.number(), stats);
    if (&process == process_.get()) take_states(stats);
    for (const auto* backend : some) seen[backend->name] = {.at = Steady::now(), .stats = {}};
    for (auto& stat : stats)
      if (auto of = seen.find(stat.backend); of != seen.end()) of->second.stats.push_back(std::move(stat));
  }
  return {};
}

// Requests that outlasted their target's deregistration delay, in whichever process they are.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html#deregistration-delay
void Haproxy::cut_overdue() {
  auto cut = [&](const Process& process, const std::string& backend, const std::string& address) {
    bool any = false;
    for (const auto& stat : seen_[process.number()][backend].stats) {
      if (stat.address != address || stat.sessions == 0) continue;
      (void)process.command(fmt::format("shutdown sessions server {}/{}", backend, stat.server));
      any = true;
    }
    return any;
  };
  std::erase_if(overdue_, [&](const auto& entry) {
    const auto& [backend, address] = entry;
    if (auto table = wanted_.tables.find(backend); table == wanted_.tables.end() || table->second.find(address)) return true;  // registered again
    bool any = running() && cut(*process_, backend, address);
    for (const auto& process : replaced_) any |= cut(*process, backend, address);
    return !any;
  });
}

// A daemon that was killed may have removed a target whose time was over, and not have cut what it was still asked.
void Haproxy::find_strays() {
  for (const auto& [process, backends] : seen_)
    for (const auto& backend : wanted_.plan.backends) {
      auto seen = backends.find(backend.name);
      if (!backend.cuts || seen == backends.end()) continue;
      for (const auto& stat : seen->second.stats)
        if (stat.sessions > 0 && stat.server != "BACKEND" && !wanted_.tables[backend.name].find(stat.address)) overdue_.emplace(backend.name, stat.address);
    }
}

std::map<std::string, int> Haproxy::count_sessions() const {
  std::map<std::string, int> sessions;
  for (const auto& [process, backends] : seen_)
    for (const auto& [name, seen] : backends)
      for (const auto& stat : seen.stats)
        if (stat.sessions > 0) sessions[name + " " + stat.address] += stat.sessions;
  return sessions;
}

// "L backend server milliseconds": a request that was timed. "A…": one that is logged.
void Haproxy::read_log(int process) {
  auto log = logs_.find(process);
  if (log == logs_.end()) return;
  log->second.read([&](std::string_view line) {
    if (line.starts_with("A\t")) {
      access_log_.add(line);
      return;
    }
    auto words = split(std::string(line), ' ');
    if (words.size() != 4 || words[0] != "L") return;
    if (auto time = parse_number<int>(words[3]); time && *time >= 0) counting_.time(process, words[1], words[2], *time);
  });
}

void Haproxy::count() {
  for (const auto& [number, log] : logs_) read_log(number);
  if (auto entries = access_log_.take(); sink_)
    for (const auto& of_one : entries) sink_(of_one);
  for (auto& [number, log] : logs_) log.mark();
  std::erase_if(logs_, [&](const auto& log) {
    bool runs = (process_ && process_->number() == log.first) ||
                std::ranges::any_of(replaced_, [&](const auto& process) { return process->number() == log.first; });
    if (runs) return false;
    counting_.forget(log.first);
    auto file = request_log_file(options_.run_directory, log.first);
    ::unlink(file.c_str());
    ::unlink((file + ".read").c_str());
    return true;
  });
  std::map<std::string, std::vector<std::string>> known;
  for (const auto& backend : wanted_.plan.backends) {
    auto& addresses = known[backend.name];
    for (const auto& slot : wanted_.tables[backend.name].slots)
      if (!slot.free()) addresses.push_back(slot.address);
  }
  counting_.keep(known);
}

std::map<std::string, OwnErrors> Haproxy::errors_of(const Process& process, const std::vector<std::string>& backends) const {
  std::vector<std::string> commands;
  for (const auto& backend : backends) commands.push_back("show table " + backend);
  std::string text;
  for (const auto& batch : batches(commands)) text += process.command(batch).value_or("") + "\n";
  return parse_tables(text);
}

void Haproxy::tell_errors_apart() {
  auto untold = counting_.untold();
  if (untold.empty()) return;
  if (running()) counting_.take_errors(process_->number(), errors_of(*process_, untold));
  for (const auto& process : replaced_) counting_.take_errors(process->number(), errors_of(*process, untold));
  for (const auto& backend : untold) counting_.told(backend);
}

std::vector<TargetGroupCounters> Haproxy::counters() const {
  std::vector<TargetGroupCounters> out;
  for (const auto& backend : wanted_.plan.backends) {
    TargetGroupCounters group{.target_group = backend.group, .total = {}, .targets = {}};
    if (auto found = counting_.groups().find(backend.name); found != counting_.groups().end()) {
      group.total = found->second.total;
      for (const auto& [address, counters] : found->second.targets) {
        auto colon = address.rfind(':');
        group.targets.push_back({address.substr(0, colon), parse_number<int>(address.substr(colon + 1)).value_or(0), counters});
      }
    }
    out.push_back(std::move(group));
  }
  return out;
}

void Haproxy::take_states(const std::vector<ServerStat>& stats) {
  for (const auto& stat : stats) {
    auto table = wanted_.tables.find(stat.backend);
    if (table == wanted_.tables.end() || !stat.server.starts_with("s")) continue;
    auto index = parse_number<std::size_t>(stat.server.substr(1)).value_or(0);
    if (index == 0 || index > table->second.slots.size()) continue;
    auto& slot = table->second.slots[index - 1];
    if (slot.free() || slot.address != stat.address) continue;
    bool was_up = slot.up;
    slot.up = stat.status.starts_with("UP") || stat.status.starts_with("DRAIN");
    if (slot.up) slot.ever_healthy = true;
    provided_ = provided_ && slot.up == was_up;
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

Result<std::vector<model::TargetHealth>> Haproxy::observe(const Snapshot& snapshot, int interrupt) {
  sweep();
  if (running()) TRY_VOID(ask(*process_, to_ask(*process_), interrupt));
  for (const auto& process : replaced_) (void)ask(*process, to_ask(*process), -1);
  std::erase_if(seen_, [&](const auto& seen) {
    return !(running() && process_->number() == seen.first) && std::ranges::none_of(replaced_, [&](const auto& process) { return process->number() == seen.first; });
  });
  if (std::exchange(strays_, false)) find_strays();
  if (!overdue_.empty()) cut_overdue();
  auto sessions = count_sessions();
  tell_errors_apart();
  count();
  static const std::vector<ServerStat> kNone;
  std::unordered_map<std::string_view, const Backend*> backends;
  for (const auto& backend : wanted_.plan.backends) backends[backend.group] = &backend;

  std::vector<model::TargetHealth> all;
  std::vector<std::string> orders;  // one round trip for all: thousands of targets may settle in the same moment
  for (const auto& [key, target] : snapshot.targets) {
    auto found = backends.find(target.target_group);
    const auto* backend = found == backends.end() ? nullptr : found->second;
    if (!backend) {
      all.push_back({.target_group = target.target_group, .address = target.address, .port = target.port,
                     .state = target.draining_until ? model::TargetState::Draining : model::TargetState::Unused,
                     .reason = target.draining_until ? "Target.DeregistrationInProgress" : "Target.NotInUse",
                     .description = "Target group is not configured to receive traffic from the load balancer"});
      continue;
    }
    auto& table = wanted_.tables[backend->name];
    auto address = fmt::format("{}:{}", target.address, target.port);
    auto* slot = table.find(address);
    const ServerStat* stat = nullptr;
    if (slot) {
      auto index = static_cast<std::size_t>(slot - table.slots.data()) + 1;
      auto checked = fmt::format("{}/s{}", backend->name, index), open = fmt::format("{}/o{}", backend->name, index);
      const auto& stats = running() ? seen_[process_->number()][backend->name].stats : kNone;
      auto line = [&](std::string_view server) {
        auto line = std::ranges::find(stats, server.substr(backend->name.size() + 1), &ServerStat::server);
        return line == stats.end() ? nullptr : &*line;
      };
      stat = line(checked);
      const auto* first = line(open);
      auto good = [](const ServerStat* probed) { return probed && probed->check_health > 0; };
      // Only HAProxy's own probes begin a slow start.
      if (!slot->up && !slot->draining && !slot->ever_healthy && !backend->slow_start && (good(stat) || (!slot->settled && good(first)))) {
        orders.push_back(fmt::format("set server {} health up", checked));
        slot->up = slot->ever_healthy = true;
      }
      bool failed_long = Steady::now() - slot->since > backend->interval * backend->fall + backend->timeout;
      if (!slot->settled && !slot->draining && (slot->up || failed_long)) {
        orders.push_back(fmt::format("disable health {0}; set server {0} health up; set server {0} state ready", open));
        slot->settled = true;
      } else if (slot->settled && first && first->status.starts_with("DOWN")) {  // by a probe that was under way when it settled
        orders.push_back(fmt::format("set server {} health up", open));
      }
      if (!slot->settled && first) stat = first;
    }
    auto health = health_of(target, stat, slot);
    health.in_flight = sessions[backend->name + " " + address];
    // A request may be on its way between HAProxy's choice and its count while draining begins.
    if (target.draining_until && slot && Steady::now() - slot->drained < Millis(20)) health.in_flight = std::max(health.in_flight, 1);
    all.push_back(std::move(health));
  }
  provided_ = provided_ && orders.empty();
  provide();
  if (auto done = order_all(orders); !done) {
    generation_.clear();  // who got the order and who did not, a reload need not know
    return tl::unexpected(done.error());
  }
  return all;
}

}  // namespace watari::balancer
