#include "aws/cloudwatch/action_calls.h"

#include "aws/cloudwatch/wire.h"
#include "codec/json.h"
#include "net/client.h"

namespace watari::aws::cloudwatch {
namespace {

using codec::Json;

constexpr Millis kLongestCall{60'000};

Json state_json(const std::string& state, const std::string& reason, const std::string& data, Time at) {
  auto out = Json::object({{"value", state}, {"reason", reason}, {"timestamp", iso8601(at)}});
  if (!data.empty()) out.set("reasonData", data);
  return out;
}

}  // namespace

std::string action_event(const model::Alarm& alarm, const model::AlarmCall& call) {
  const auto& to = call.transition;
  auto dimensions = Json::object();
  for (const auto& [name, value] : alarm.metric.dimensions) dimensions.set(name, value);
  auto metric = Json::object({{"namespace", alarm.metric.space}, {"name", alarm.metric.name}, {"dimensions", dimensions}});
  auto stat = Json::object({{"metric", metric}, {"period", alarm.period.count()}, {"stat", alarm.statistic}});
  auto configuration = Json::object({{"description", alarm.description},
                                     {"metrics", Json::array({Json::object({{"id", "m1"}, {"metricStat", stat}, {"returnData", true}})})}});
  return Json::object({{"source", "aws.cloudwatch"},
                       {"alarmArn", alarm_arn(alarm.scope, alarm.name)},
                       {"accountId", alarm.scope.account},
                       {"time", iso8601(to.at)},
                       {"region", alarm.scope.region},
                       {"alarmData", Json::object({{"alarmName", alarm.name},
                                                   {"state", state_json(to.state, to.reason, to.reason_data, to.at)},
                                                   {"previousState", state_json(to.old_state, to.old_reason, to.old_reason_data, to.old_at)},
                                                   {"configuration", configuration}})}}).dump();
}

std::string call_action(const model::Alarm& alarm, const model::AlarmCall& call, const std::string& url, const std::atomic<bool>& cancelled) {
  net::Request request{.method = "POST", .target = url, .body = action_event(alarm, call)};
  request.headers.set("content-type", "application/json");
  auto response = net::fetch(request, {.timeout = kLongestCall, .cancelled = &cancelled});
  if (!response) return response.error().message;
  return response->status >= 200 && response->status <= 299 ? "" : fmt::format("{} answered {}", url, response->status);
}

}  // namespace watari::aws::cloudwatch
