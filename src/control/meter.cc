#include "control/meter.h"

#include "base/log.h"
#include "codec/json.h"
#include "control/alarms.h"

namespace watari::control {
namespace {

using codec::Json;

// Source: StateReasonData of DescribeAlarms; https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html
std::string reason_data(const model::Alarm& alarm, const std::vector<metrics::Datapoint>& points, Time now) {
  auto recent = Json::array(), evaluated = Json::array();
  for (auto point = points.end() - alarm.evaluation_periods; point != points.end(); ++point) {
    if (!point->value) continue;
    recent.push(*point->value);
    evaluated.push(Json::object({{"timestamp", iso8601(point->at)}, {"sampleCount", point->samples}, {"value", *point->value}}));
  }
  auto out = Json::object({{"version", "1.0"}, {"queryDate", iso8601(now)}, {"startDate", iso8601((points.end() - alarm.evaluation_periods)->at)},
                           {"statistic", alarm.statistic}, {"period", alarm.period.count()}, {"recentDatapoints", recent}, {"threshold", alarm.threshold}});
  if (!evaluated.as_array().empty() && evaluated.as_array().size() <= 20) out.set("evaluatedDatapoints", evaluated);
  return out.dump();
}

}  // namespace

void Meter::start() { arm(); }

// Just after a full second, so that periods are looked at as soon as they are over.
void Meter::arm() {
  auto every = control_.options_.measure_every;
  auto since = control_.now().time_since_epoch() % every;
  control_.scheduler_.after(every - since + Millis(20), [this] { tick(); });
}

void Meter::tick() {
  // Judged first: what is measured now belongs to the second that has just begun.
  judge_alarms();
  call_actions();
  measure_balancers();
  measure_health();
  measure_tasks();
  if (!swept_at_ || control_.now() >= *swept_at_ + std::chrono::hours(1)) {
    swept_at_ = control_.now();
    store_.sweep(control_.now());
  }
  arm();
}

// One transaction for all that change; a period is looked at once.
void Meter::judge_alarms() {
  struct Change {
    std::string key, state, reason, data;
  };
  std::vector<Change> changes;
  auto scale = control_.options_.time_scale;
  auto now = control_.now();
  control_.state_->alarms.each("", [&](const std::string& key, const model::Alarm& alarm) {
    if (alarm.metric.name.empty()) return;
    auto points = metrics::datapoints(store_, alarm, now, scale);
    auto end = points.back().at + metrics::real_period(alarm, scale);
    if (auto& last = judged_[key]; last == end) return;
    else last = end;
    auto state = metrics::judge(alarm, points);
    if (state && *state != alarm.state) changes.push_back({key, *state, metrics::explain(alarm, *state, points), reason_data(alarm, points, now)});
  });
  std::erase_if(judged_, [&](const auto& entry) { return !control_.state_->alarms.has(entry.first); });
  if (changes.empty()) return;
  auto done = control_.commit([&]() -> Result<void> {
    for (const auto& [key, state, reason, data] : changes) change_alarm_state(control_, key, state, reason, data);
    sweep_alarm_history(control_);
    return {};
  });
  if (done) return;
  log::error("alarms: {}; they are judged again", done.error().message);
  for (const auto& change : changes) judged_.erase(change.key);
}

void Meter::call_actions() {
  if (!control_.ports_.call_alarm_action) return;
  std::vector<std::pair<std::string, model::Alarm>> due;
  control_.state_->alarms.each("", [&](const std::string& key, const model::Alarm& alarm) {
    if (!alarm.calls.empty()) due.emplace_back(key, alarm);
  });
  for (const auto& [key, alarm] : due) {
    for (const auto& call : alarm.calls) {
      if (calling_.contains(call.id) || control_.now() < call.call_at) continue;
      calling_.insert(call.id);
      auto done = [this, key, id = call.id](std::string failure) {
        control_.scheduler_.post([this, key, id, failure = std::move(failure)] {
          calling_.erase(id);
          auto written = control_.commit([&]() -> Result<void> {
            finish_alarm_call(control_, key, id, failure);
            return {};
          });
          if (!written) log::error("alarm action {}: {}; it is called again", id, written.error().message);
        });
      };
      auto place = find_hook(*control_.state_, alarm.scope, call.action);
      if (!place) done(place.error().message);
      else if (place->url.empty()) done("it stands for a task definition; alarms call functions behind URLs only");
      else control_.ports_.call_alarm_action(alarm, call, place->url, done);
    }
  }
}

}  // namespace watari::control
