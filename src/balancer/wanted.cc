#include "balancer/wanted.h"

#include <algorithm>

namespace watari::balancer {

namespace {

std::string address_of(const model::Target& target) { return fmt::format("{}:{}", target.address, target.port); }

std::string server(const std::string& backend, char kind, std::size_t index) { return fmt::format("{}/{}{}", backend, kind, index + 1); }

std::string state_commands(const std::string& backend, std::size_t index, const char* state) {
  return fmt::format("set server {} state {}; set server {} state {}", server(backend, 's', index), state, server(backend, 'o', index), state);
}

// Maintenance would end the connections of a network load balancer's target ("on-marked-down"), where they are to be let be: it gets no
// new ones and is not probed, until its place is needed.
std::string remove_commands(const Backend& backend, std::size_t index) {
  if (backend.cuts) return state_commands(backend.name, index, "maint");
  auto checked = server(backend.name, 's', index);
  return fmt::format("set server {0} state drain; disable health {0}; set server {1} state maint", checked, server(backend.name, 'o', index));
}

std::string place_commands(const std::string& backend, std::size_t index, const Slot& slot) {
  auto colon = slot.address.rfind(':');
  auto address = slot.address.substr(0, colon), port = slot.address.substr(colon + 1);
  auto checked = server(backend, 's', index), open = server(backend, 'o', index);
  // Through `drain`, since leaving maintenance counts as up until the first probe says otherwise.
  return fmt::format("set server {0} state maint; set server {0} addr {2} port {3}; enable health {0}; set server {0} state drain; "
                     "set server {0} health down; set server {1} state maint; set server {1} addr {2} port {3}; "
                     "enable health {1}; set server {1} state drain; set server {1} health down{4}",
                     checked, open, address, port, slot.draining ? "" : "; " + state_commands(backend, index, "ready"));
}

}  // namespace

std::vector<std::string> Wanted::take(const Snapshot& snapshot, CompileOptions options) {
  std::optional<std::set<std::string>> reweighed;
  if (!generation.empty() && options == taken_with) reweighed = reweigh(plan, taken, snapshot, options);
  std::vector<std::string> commands;
  if (reweighed) {
    unsent.merge(*reweighed);
    commands = place_changed(snapshot);
  } else {
    plan = compile(snapshot, options);
    unsent.clear();
    for (const auto& [rule, split] : plan.splits) unsent.insert(rule);
    commands = place_all(snapshot);
  }
  if (!reweighed || grown_) generation = generation_of(plan, tables, options.run_directory);
  grown_ = false;
  compiled = !reweighed;
  taken = snapshot;
  taken_with = std::move(options);
  return commands;
}

std::vector<std::string> Wanted::place_all(const Snapshot& now) {
  std::vector<std::string> commands;
  std::map<std::string, SlotTable> kept;
  for (const auto& backend : plan.backends) kept[backend.name] = std::move(tables[backend.name]);
  tables = std::move(kept);
  for (const auto& backend : plan.backends) std::ranges::move(place(backend, now.targets), std::back_inserter(commands));
  return commands;
}

std::vector<std::string> Wanted::place_changed(const Snapshot& now) {
  std::set<std::string_view> groups;
  SharedMap<model::Target>::differences(taken.targets, now.targets, [&](const std::string&, const model::Target* before, const model::Target* after) {
    groups.insert((before ? before : after)->target_group);
  });
  std::vector<std::string> commands;
  for (auto group : groups) {
    auto backend = std::ranges::lower_bound(plan.backends, group, {}, [](const Backend& other) { return std::string_view(other.group); });
    if (backend != plan.backends.end() && backend->group == group) std::ranges::move(place(*backend, now.targets), std::back_inserter(commands));
  }
  return commands;
}

std::vector<std::string> Wanted::place(const Backend& backend, const SharedMap<model::Target>& targets) {
  std::map<std::string, std::optional<Time>> wanted;  // address -> until when it drains
  auto prefix = backend.group + "/";
  for (auto at = targets.from(prefix); at != targets.end() && at->first.starts_with(prefix); ++at)
    wanted[address_of(at->second)] = at->second.draining_until;
  auto& table = tables[backend.name];
  std::vector<std::string> commands;
  if (table.slots.empty()) table.slots.resize(slots_for(wanted.size()));
  for (std::size_t i = 0; i < table.slots.size(); ++i) {
    auto& slot = table.slots[i];
    if (slot.free()) continue;
    auto want = wanted.find(slot.address);
    if (want == wanted.end()) {
      if (backend.cuts && slot.draining && SystemClock().now() >= slot.deadline) overdue.emplace_back(backend.name, slot.address);
      slot = Slot{.freed = Steady::now()};
      commands.push_back(remove_commands(backend, i));
      continue;
    }
    slot.deadline = want->second.value_or(Time{});
    if (want->second.has_value() != slot.draining) {
      slot.draining = want->second.has_value();
      slot.drained = Steady::now();
      commands.push_back(state_commands(backend.name, i, !slot.draining ? "ready" : backend.sticky ? "maint" : "drain"));
    }
  }
  for (const auto& [address, deadline] : wanted) {
    if (table.find(address)) continue;
    auto free = table.free_slot(backend.timeout + Seconds(1));
    if (free < 0) {
      free = static_cast<int>(table.slots.size());
      table.slots.resize(std::max(table.slots.size() + 1, std::min<std::size_t>(table.slots.size() * 2, 4096)));
      grown_ = true;
    }
    auto index = static_cast<std::size_t>(free);
    table.slots[index] = Slot{.address = address, .draining = deadline.has_value(), .deadline = deadline.value_or(Time{})};
    commands.push_back(place_commands(backend.name, index, table.slots[index]));
  }
  return commands;
}

}  // namespace watari::balancer
