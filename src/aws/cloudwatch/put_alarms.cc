// PutMetricAlarm, and what changes alarms that exist.
#include "aws/cloudwatch/wire.h"
#include "aws/gen/cloudwatch/delete_alarms.h"
#include "aws/gen/cloudwatch/disable_alarm_actions.h"
#include "aws/gen/cloudwatch/enable_alarm_actions.h"
#include "aws/gen/cloudwatch/put_metric_alarm.h"
#include "aws/gen/cloudwatch/set_alarm_state.h"
#include "codec/json.h"
#include "control/alarms.h"
#include "control/hooks.h"
#include "metrics/alarm.h"

namespace watari::aws::cloudwatch {
namespace {

constexpr const char* kInvalid = "ValidationError";
constexpr int kLongest = 86'400;

Result<void> check_window(const model::Alarm& alarm) {
  auto looks_at = alarm.period.count() * alarm.evaluation_periods;
  if (looks_at > kLongest)
    return error(kInvalid, "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400); it is {}.", looks_at);
  bool far = alarm.period * (alarm.evaluation_periods + metrics::kSpare) > metrics::Store::reach(Seconds(60));
  if (far && alarm.period.count() % 300 != 0)
    return error(kInvalid, "Watari keeps periods of less than 300 seconds for 12 hours: an alarm that looks at {} seconds needs a Period that is a multiple of 300.", looks_at);
  return {};
}

Result<void> check_actions(Call& call, const std::vector<std::string>& actions) {
  if (actions.size() > 5) return error(kInvalid, "An alarm may have at most 5 actions for a state; there are {}.", actions.size());
  for (const auto& action : actions) {
    bool callable = action.starts_with("arn:aws:lambda:") || action.starts_with("http://") || action.starts_with("https://");
    if (!callable)
      return error(kInvalid, "The action {} is not supported by Watari: an alarm calls functions (arn:aws:lambda:REGION:ACCOUNT:function:NAME, made "
                             "known by `watari function put NAME --url URL`) and URLs.", action);
    auto place = control::find_hook(state(call), call.scope, action);
    if (!place) return error(kInvalid, "{}", place.error().message);
    if (place->url.empty()) return error(kInvalid, "The function {} stands for a task definition; an alarm calls functions behind URLs only.", action);
  }
  return {};
}

Result<std::string> statistic_of(const PutMetricAlarmRequest& request) {
  if (request.Statistic && request.ExtendedStatistic) return error("InvalidParameterCombination", "Give either Statistic or ExtendedStatistic, not both.");
  if (!request.Statistic && !request.ExtendedStatistic) return error(kInvalid, "Statistic or ExtendedStatistic is required.");
  if (request.Statistic) return *request.Statistic;
  auto parsed = metrics::Statistic::parse(*request.ExtendedStatistic);
  if (!parsed || parsed->kind != metrics::Statistic::Kind::Percentile)
    return error(kInvalid, "The ExtendedStatistic {} is not supported by Watari; use a percentile (p50, p99.9).", *request.ExtendedStatistic);
  return *request.ExtendedStatistic;
}

Result<model::Alarm> alarm_from_wire(Call& call, const PutMetricAlarmRequest& request) {
  auto missing = [](const char* name) { return error(kInvalid, "{} is required.", name); };
  if (!request.MetricName) return missing("MetricName");
  if (!request.Namespace) return missing("Namespace");
  if (!request.Period) return missing("Period");
  if (!request.EvaluationPeriods) return missing("EvaluationPeriods");
  if (!request.Threshold) return missing("Threshold");
  if (!request.ComparisonOperator) return missing("ComparisonOperator");
  TRY_VOID(check_period(*request.Period, true));
  model::Alarm alarm{.scope = call.scope, .name = request.AlarmName};
  TRY(alarm.metric, metric_from_wire(*request.Namespace, *request.MetricName, request.Dimensions));
  TRY(alarm.statistic, statistic_of(request));
  alarm.description = request.AlarmDescription.value_or("");
  alarm.unit = request.Unit.value_or("");
  alarm.period = Seconds(*request.Period);
  alarm.evaluation_periods = *request.EvaluationPeriods;
  alarm.datapoints_to_alarm = request.DatapointsToAlarm.value_or(alarm.evaluation_periods);
  if (alarm.datapoints_to_alarm > alarm.evaluation_periods)
    return error(kInvalid, "DatapointsToAlarm ({}) must not be greater than EvaluationPeriods ({}).", alarm.datapoints_to_alarm, alarm.evaluation_periods);
  alarm.threshold = *request.Threshold;
  alarm.comparison = *parse_enum<model::Comparison>(*request.ComparisonOperator);
  alarm.missing = *parse_enum<model::MissingData>(request.TreatMissingData.value_or("missing"));
  alarm.ignore_low_samples = request.EvaluateLowSampleCountPercentile == "ignore";
  alarm.actions_enabled = request.ActionsEnabled.value_or(true);
  alarm.ok_actions = request.OKActions;
  alarm.alarm_actions = request.AlarmActions;
  alarm.insufficient_data_actions = request.InsufficientDataActions;
  TRY_VOID(merge_tags(alarm.tags, request.Tags, "InvalidParameterValue"));
  return alarm;
}

}  // namespace

Result<PutMetricAlarmResponse> put_metric_alarm(Call& call, const PutMetricAlarmRequest& request) {
  TRY(auto alarm, alarm_from_wire(call, request));
  TRY_VOID(check_window(alarm));
  for (const auto* actions : {&alarm.ok_actions, &alarm.alarm_actions, &alarm.insufficient_data_actions}) TRY_VOID(check_actions(call, *actions));
  TRY_VOID(control::put_alarm(*call.platform.control, std::move(alarm)));
  return PutMetricAlarmResponse{};
}

Result<DeleteAlarmsResponse> delete_alarms(Call& call, const DeleteAlarmsRequest& request) {
  if (request.AlarmNames.size() > 100) return error(kInvalid, "At most 100 alarms in one call; {} were given.", request.AlarmNames.size());
  TRY_VOID(control::delete_alarms(*call.platform.control, call.scope, request.AlarmNames));
  return DeleteAlarmsResponse{};
}

Result<SetAlarmStateResponse> set_alarm_state(Call& call, const SetAlarmStateRequest& request) {
  if (request.StateReasonData && !codec::parse_json(*request.StateReasonData)) return error("InvalidFormat", "StateReasonData is not JSON.");
  TRY_VOID(control::set_alarm_state(*call.platform.control, call.scope, request.AlarmName, request.StateValue, request.StateReason,
                                    request.StateReasonData.value_or("")));
  return SetAlarmStateResponse{};
}

Result<EnableAlarmActionsResponse> enable_alarm_actions(Call& call, const EnableAlarmActionsRequest& request) {
  TRY_VOID(control::enable_alarm_actions(*call.platform.control, call.scope, request.AlarmNames, true));
  return EnableAlarmActionsResponse{};
}

Result<DisableAlarmActionsResponse> disable_alarm_actions(Call& call, const DisableAlarmActionsRequest& request) {
  TRY_VOID(control::enable_alarm_actions(*call.platform.control, call.scope, request.AlarmNames, false));
  return DisableAlarmActionsResponse{};
}

}  // namespace watari::aws::cloudwatch
