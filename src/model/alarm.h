#pragma once
// Metric alarms, as CloudWatch has them, and what happened to them. Deployments see a name that is in a state since some time.
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html
#include <compare>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "model/scope.h"

namespace watari::model {

struct Dimension {
  std::string name, value;
  friend auto operator<=>(const Dimension&, const Dimension&) = default;
  WATARI_FIELDS(Dimension, name, value)
};

struct Metric {
  std::string space;  // the namespace: "AWS/ApplicationELB"
  std::string name;
  std::vector<Dimension> dimensions;  // sorted
  friend auto operator<=>(const Metric&, const Metric&) = default;
  WATARI_FIELDS(Metric, space, name, dimensions)
};

enum class Comparison { GreaterOrEqual, Greater, Less, LessOrEqual };
WATARI_ENUM(Comparison, {Comparison::GreaterOrEqual, "GreaterThanOrEqualToThreshold"}, {Comparison::Greater, "GreaterThanThreshold"},
            {Comparison::Less, "LessThanThreshold"}, {Comparison::LessOrEqual, "LessThanOrEqualToThreshold"})

enum class MissingData { Missing, Ignore, Breaching, NotBreaching };
WATARI_ENUM(MissingData, {MissingData::Missing, "missing"}, {MissingData::Ignore, "ignore"}, {MissingData::Breaching, "breaching"},
            {MissingData::NotBreaching, "notBreaching"})

// From one state to another.
struct AlarmTransition {
  std::string state, reason, reason_data;  // reason_data: JSON
  std::string old_state, old_reason, old_reason_data;
  Time at{}, old_at{};
  WATARI_FIELDS(AlarmTransition, state, reason, reason_data, old_state, old_reason, old_reason_data, at, old_at)
};

// Somebody who is to be told of a transition; kept until it has been told or given up.
struct AlarmCall {
  std::string id, action;  // action: the ARN or name of a function, or a URL
  AlarmTransition transition;
  Time call_at{};  // not before
  int attempts = 0;
  WATARI_FIELDS(AlarmCall, id, action, transition, call_at, attempts)
};

struct Alarm {
  Scope scope;
  std::string name;
  std::string state = "INSUFFICIENT_DATA";  // OK | ALARM | INSUFFICIENT_DATA
  std::string reason, reason_data;          // why it is in that state; reason_data: JSON
  Time state_since{};                       // when it entered it
  Time updated_at{}, configured_at{};       // when reason was last written, and when PutMetricAlarm was called
  std::string description;
  Metric metric;                            // no name: nobody evaluates it
  std::string statistic, unit;              // "Sum", "p99.9"; unit empty: any
  Seconds period{60};
  int evaluation_periods = 1, datapoints_to_alarm = 1;
  double threshold = 0;
  Comparison comparison = Comparison::GreaterOrEqual;
  MissingData missing = MissingData::Missing;
  bool ignore_low_samples = false;          // of percentiles: too few samples change nothing
  bool actions_enabled = true;
  std::vector<std::string> ok_actions, alarm_actions, insufficient_data_actions;
  std::vector<AlarmCall> calls;             // not done yet
  std::vector<Tag> tags;
  WATARI_FIELDS(Alarm, scope, name, state, reason, reason_data, state_since, updated_at, configured_at, description, metric, statistic,
                unit, period, evaluation_periods, datapoints_to_alarm, threshold, comparison, missing, ignore_low_samples,
                actions_enabled, ok_actions, alarm_actions, insufficient_data_actions, calls, tags)
};

// One line of an alarm's history, which outlives the alarm.
struct AlarmEvent {
  Scope scope;
  std::string alarm;
  std::string type;  // ConfigurationUpdate | StateUpdate | Action
  std::string summary;
  std::optional<AlarmTransition> transition;  // of a StateUpdate
  std::string detail;                         // of an Action: who was told, and what came of it
  Time at{};
  WATARI_FIELDS(AlarmEvent, scope, alarm, type, summary, transition, detail, at)
};

}  // namespace watari::model
