#include "control/alarms.h"

#include <algorithm>

#include "base/id.h"

namespace watari::control {
namespace {

constexpr std::size_t kMaxAlarms = 5000, kMaxHistory = 200;  // of a scope, of an alarm
constexpr auto kKeepHistory = std::chrono::days(30);
constexpr int kMaxAttempts = 10;

Error no_alarm(const std::string& name) { return Error{Code::NotFound, fmt::format("There is no alarm {}.", name), "ResourceNotFound"}; }

void note(Control& control, model::AlarmEvent event) {
  auto& history = control.state().alarm_history;
  auto prefix = alarm_history_prefix(event.scope, event.alarm);
  auto at = event.at = control.now();
  auto key = [&] { return fmt::format("{}{:015}", prefix, at.time_since_epoch().count()); };
  while (history.has(key())) at += Millis(1);
  history.put(key(), std::move(event));
  std::vector<std::string> keys;
  history.each(prefix, [&](const std::string& one, const auto&) { keys.push_back(one); });
  for (std::size_t i = 0; i + kMaxHistory < keys.size(); ++i) history.erase(keys[i]);
}

const std::vector<std::string>& actions_for(const model::Alarm& alarm, const std::string& state) {
  return state == "ALARM" ? alarm.alarm_actions : state == "OK" ? alarm.ok_actions : alarm.insufficient_data_actions;
}

}  // namespace

std::string alarm_history_prefix(const model::Scope& scope, const std::string& alarm) {
  // Names may have any character; this one they have not.
  return alarm_key(scope, alarm) + '\n';
}

Result<void> put_alarm(Control& control, model::Alarm alarm) {
  auto& state = control.state();
  auto key = alarm_key(alarm.scope, alarm.name);
  return control.commit([&]() -> Result<void> {
    auto old = state.alarms.get(key);
    std::size_t count = 0;
    state.alarms.each(scope_prefix(alarm.scope), [&](const auto&, const auto&) { ++count; });
    if (!old && count >= kMaxAlarms)
      return fail(Error{Code::ResourceExhausted, fmt::format("There are {} alarms already.", count), "LimitExceeded"});
    alarm.configured_at = control.now();
    alarm.state_since = alarm.updated_at = control.now();
    alarm.reason = "Unchecked: Initial alarm creation";
    if (old) {
      for (auto member : {&model::Alarm::state, &model::Alarm::reason, &model::Alarm::reason_data}) alarm.*member = (*old).*member;
      for (auto member : {&model::Alarm::state_since, &model::Alarm::updated_at}) alarm.*member = (*old).*member;
      alarm.tags = old->tags;
      alarm.calls = old->calls;
    }
    note(control, {.scope = alarm.scope, .alarm = alarm.name, .type = "ConfigurationUpdate",
                   .summary = fmt::format("Alarm \"{}\" {}", alarm.name, old ? "updated" : "created")});
    state.alarms.put(key, std::move(alarm));
    return {};
  });
}

Result<void> delete_alarms(Control& control, const model::Scope& scope, const std::vector<std::string>& names) {
  auto& alarms = control.state().alarms;
  return control.commit([&]() -> Result<void> {
    for (const auto& name : names) {
      if (!alarms.has(alarm_key(scope, name))) return fail(no_alarm(name));
      alarms.erase(alarm_key(scope, name));
      note(control, {.scope = scope, .alarm = name, .type = "ConfigurationUpdate", .summary = fmt::format("Alarm \"{}\" deleted", name)});
    }
    return {};
  });
}

Result<void> set_alarm_state(Control& control, const model::Scope& scope, const std::string& name, const std::string& state,
                             const std::string& reason, const std::string& reason_data) {
  return control.commit([&]() -> Result<void> {
    if (!control.state().alarms.has(alarm_key(scope, name))) return fail(no_alarm(name));
    change_alarm_state(control, alarm_key(scope, name), state, reason, reason_data);
    return {};
  });
}

Result<void> enable_alarm_actions(Control& control, const model::Scope& scope, const std::vector<std::string>& names, bool enabled) {
  auto& alarms = control.state().alarms;
  return control.commit([&]() -> Result<void> {
    for (const auto& name : names) {
      auto alarm = alarms.get(alarm_key(scope, name));
      if (!alarm || alarm->actions_enabled == enabled) continue;
      alarm->actions_enabled = enabled;
      note(control, {.scope = scope, .alarm = name, .type = "ConfigurationUpdate",
                     .summary = fmt::format("Actions of alarm \"{}\" {}", name, enabled ? "enabled" : "disabled")});
      alarms.put(alarm_key(scope, name), *std::move(alarm));
    }
    return {};
  });
}

void change_alarm_state(Control& control, const std::string& key, const std::string& state, const std::string& reason,
                        const std::string& reason_data) {
  auto alarm = *control.state().alarms.get(key);
  bool another = alarm.state != state;
  model::AlarmTransition transition{.state = state, .reason = reason, .reason_data = reason_data, .old_state = alarm.state,
                                    .old_reason = alarm.reason, .old_reason_data = alarm.reason_data, .at = control.now(), .old_at = alarm.state_since};
  alarm.reason = reason;
  alarm.reason_data = reason_data;
  alarm.updated_at = control.now();
  if (another) {
    alarm.state = state;
    alarm.state_since = control.now();
    note(control, {.scope = alarm.scope, .alarm = alarm.name, .type = "StateUpdate",
                   .summary = fmt::format("Alarm updated from {} to {}", transition.old_state, state), .transition = transition});
    if (alarm.actions_enabled)
      for (const auto& action : actions_for(alarm, state)) alarm.calls.push_back({random_hex(16), action, transition, control.now(), 0});
  }
  control.state().alarms.put(key, std::move(alarm));
}

void finish_alarm_call(Control& control, const std::string& key, const std::string& call_id, const std::string& failure) {
  auto alarm = control.state().alarms.get(key);
  if (!alarm) return;
  auto call = std::ranges::find(alarm->calls, call_id, &model::AlarmCall::id);
  if (call == alarm->calls.end()) return;
  bool again = !failure.empty() && ++call->attempts < kMaxAttempts;
  if (again) {
    call->call_at = control.now() + Seconds(1LL << std::min(call->attempts - 1, 8));
  } else {
    auto detail = failure.empty() ? call->action : fmt::format("{}: {} (given up after {} attempts)", call->action, failure, call->attempts);
    note(control, {.scope = alarm->scope, .alarm = alarm->name, .type = "Action",
                   .summary = fmt::format("{} action {}", failure.empty() ? "Successfully executed" : "Failed to execute", call->action).substr(0, 255),
                   .detail = std::move(detail)});
    alarm->calls.erase(call);
  }
  control.state().alarms.put(key, *std::move(alarm));
}

void sweep_alarm_history(Control& control) {
  std::vector<std::string> old;
  control.state().alarm_history.each("", [&](const std::string& key, const model::AlarmEvent& event) {
    if (event.at + kKeepHistory < control.now()) old.push_back(key);
  });
  for (const auto& key : old) control.state().alarm_history.erase(key);
}

}  // namespace watari::control
