#pragma once
// What state an alarm is in, judged from its last periods. Pure.
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html and alarms-and-missing-data.html
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "metrics/store.h"
#include "model/alarm.h"

namespace watari::metrics {

// One period of an alarm.
struct Datapoint {
  Time at{};
  std::optional<double> value;  // absent: missing
  double samples = 0;
  bool unseen = false;          // it began before the store did: nobody knows
};

// So many periods before those that are evaluated are looked at, too: the newest that have data count.
constexpr int kSpare = 2;

// The new state, or nothing: it stays as it is. `points`: oldest first, evaluation_periods + kSpare of them.
std::optional<std::string> judge(const model::Alarm& alarm, const std::vector<Datapoint>& points);

// Why it is in that state, in CloudWatch's words.
std::string explain(const model::Alarm& alarm, const std::string& state, const std::vector<Datapoint>& points);

// How long an alarm's period really takes: a clock that runs `time_scale` times as fast has shorter ones. Whole seconds, at least one.
Seconds real_period(const model::Alarm& alarm, double time_scale);
// How far apart evaluations are: a period, at most a minute (five, when it looks back farther than half a day).
Seconds real_step(const model::Alarm& alarm, double time_scale);
// The periods that end with the last whole step before `now`.
std::vector<Datapoint> datapoints(const Store& store, const model::Alarm& alarm, Time now, double time_scale);

}  // namespace watari::metrics
