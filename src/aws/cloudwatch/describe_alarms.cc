// Looking at alarms and their history.
#include <algorithm>

#include "aws/cloudwatch/wire.h"
#include "aws/gen/cloudwatch/describe_alarm_history.h"
#include "aws/gen/cloudwatch/describe_alarms.h"
#include "aws/gen/cloudwatch/describe_alarms_for_metric.h"
#include "aws/page.h"
#include "codec/json.h"
#include "base/strings.h"
#include "control/alarms.h"

namespace watari::aws::cloudwatch {
namespace {

using codec::Json;

MetricAlarm to_wire(const model::Alarm& in) {
  MetricAlarm out{.AlarmName = in.name, .AlarmArn = alarm_arn(in.scope, in.name), .AlarmDescription = text(in.description)};
  out.AlarmConfigurationUpdatedTimestamp = in.configured_at;
  out.ActionsEnabled = in.actions_enabled;
  out.OKActions = in.ok_actions;
  out.AlarmActions = in.alarm_actions;
  out.InsufficientDataActions = in.insufficient_data_actions;
  out.StateValue = in.state;
  out.StateReason = in.reason;
  out.StateReasonData = text(in.reason_data);
  out.StateUpdatedTimestamp = in.updated_at;
  out.StateTransitionedTimestamp = in.state_since;
  out.MetricName = text(in.metric.name);
  out.Namespace = text(in.metric.space);
  (in.statistic.starts_with("p") ? out.ExtendedStatistic : out.Statistic) = text(in.statistic);
  out.Dimensions = cloudwatch::to_wire(in.metric.dimensions);
  out.Period = static_cast<int>(in.period.count());
  out.Unit = text(in.unit);
  out.EvaluationPeriods = in.evaluation_periods;
  out.DatapointsToAlarm = in.datapoints_to_alarm;
  out.Threshold = in.threshold;
  out.ComparisonOperator = std::string(name_of(in.comparison));
  out.TreatMissingData = std::string(name_of(in.missing));
  if (in.ignore_low_samples) out.EvaluateLowSampleCountPercentile = "ignore";
  return out;
}

Json state_json(const std::string& state, const std::string& reason, const std::string& data) {
  auto out = Json::object({{"stateValue", state}, {"stateReason", reason}});
  if (auto parsed = codec::parse_json(data); parsed && !data.empty()) out.set("stateReasonData", *parsed);
  return out;
}

// At most 4,095 characters: without the datapoints when there are too many.
std::string history_data(const model::AlarmEvent& event) {
  auto out = Json::object({{"version", "1.0"}});
  if (!event.detail.empty()) return out.set("actionExecutionSummary", event.detail).dump();
  if (!event.transition) return out.set("type", event.type).dump();
  const auto& to = *event.transition;
  for (bool data : {true, false}) {
    out.set("oldState", state_json(to.old_state, to.old_reason, data ? to.old_reason_data : ""));
    out.set("newState", state_json(to.state, to.reason, data ? to.reason_data : ""));
    if (auto dumped = out.dump(); dumped.size() < 4096) return dumped;
  }
  return Json::object({{"version", "1.0"}, {"oldState", to.old_state}, {"newState", to.state}}).dump();
}

}  // namespace

Result<DescribeAlarmsResponse> describe_alarms(Call& call, const DescribeAlarmsRequest& request) {
  if (!request.AlarmNames.empty() && request.AlarmNamePrefix)
    return error("InvalidParameterCombination", "Give either AlarmNames or AlarmNamePrefix, not both.");
  auto acts = [&](const model::Alarm& alarm) {
    auto begins = [&](const std::string& action) { return action.starts_with(*request.ActionPrefix); };
    return !request.ActionPrefix || std::ranges::any_of(alarm.alarm_actions, begins) || std::ranges::any_of(alarm.ok_actions, begins) ||
           std::ranges::any_of(alarm.insufficient_data_actions, begins);
  };
  auto found = matching(state(call).alarms, control::scope_prefix(call.scope), [&](const model::Alarm& alarm) {
    return among(request.AlarmTypes, "MetricAlarm") && among(request.AlarmNames, alarm.name) && alarm.name.starts_with(request.AlarmNamePrefix.value_or("")) &&
           request.StateValue.value_or(alarm.state) == alarm.state && acts(alarm);
  });
  TRY(auto page, paginate(call, std::move(found), request.NextToken, page_size(request.MaxRecords, 50, 100), &model::Alarm::name, "InvalidNextToken"));
  DescribeAlarmsResponse response{.NextToken = std::move(page.next_token)};
  for (const auto& alarm : page.items) response.MetricAlarms.push_back(to_wire(alarm));
  return response;
}

Result<DescribeAlarmsForMetricResponse> describe_alarms_for_metric(Call& call, const DescribeAlarmsForMetricRequest& request) {
  TRY(auto metric, metric_from_wire(request.Namespace, request.MetricName, request.Dimensions));
  DescribeAlarmsForMetricResponse response;
  auto statistic = request.Statistic ? request.Statistic : request.ExtendedStatistic;
  state(call).alarms.each(control::scope_prefix(call.scope), [&](const auto&, const model::Alarm& alarm) {
    bool wanted = alarm.metric == metric && (!statistic || *statistic == alarm.statistic) && (!request.Unit || *request.Unit == alarm.unit) &&
                  (!request.Period || Seconds(*request.Period) == alarm.period);
    if (wanted) response.MetricAlarms.push_back(to_wire(alarm));
  });
  return response;
}

Result<DescribeAlarmHistoryResponse> describe_alarm_history(Call& call, const DescribeAlarmHistoryRequest& request) {
  std::vector<std::pair<std::string, model::AlarmEvent>> found;  // by a key that sorts as asked for
  bool oldest_first = request.ScanBy == "TimestampAscending";
  bool metric_alarms = among(request.AlarmTypes, "MetricAlarm");
  auto prefix = request.AlarmName ? control::alarm_history_prefix(call.scope, *request.AlarmName) : control::scope_prefix(call.scope);
  state(call).alarm_history.each(prefix, [&](const std::string& key, const model::AlarmEvent& event) {
    bool wanted = metric_alarms && request.HistoryItemType.value_or(event.type) == event.type &&
                  (!request.StartDate || event.at >= *request.StartDate) && (!request.EndDate || event.at <= *request.EndDate);
    // The key's time, which no two events of an alarm share.
    auto time = parse_number<std::int64_t>(key.substr(key.rfind('\n') + 1)).value_or(0);
    if (wanted) found.emplace_back(fmt::format("{:015} {}", oldest_first ? time : 999'999'999'999'999 - time, event.alarm), event);
  });
  std::ranges::sort(found, {}, [](const auto& entry) { return entry.first; });
  TRY(auto page, paginate(call, std::move(found), request.NextToken, page_size(request.MaxRecords, 50, 100), [](const auto& entry) { return entry.first; }, "InvalidNextToken"));
  DescribeAlarmHistoryResponse response{.NextToken = std::move(page.next_token)};
  for (const auto& [key, event] : page.items)
    response.AlarmHistoryItems.push_back({.AlarmName = event.alarm, .AlarmType = "MetricAlarm", .Timestamp = event.at, .HistoryItemType = event.type,
                                          .HistorySummary = event.summary.substr(0, 255), .HistoryData = history_data(event)});
  return response;
}

}  // namespace watari::aws::cloudwatch
