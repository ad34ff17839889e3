#include "aws/ecs/hook_calls.h"

#include "aws/ecs/names.h"
#include "aws/ecs/service_shapes.h"
#include "codec/json.h"
#include "net/client.h"

namespace watari::aws::ecs {
namespace {

using codec::Json;
using control::HookAnswer;

constexpr Millis kLongestCall{15 * 60'000};

Json number(double value) {
  auto whole = static_cast<std::int64_t>(value);
  return static_cast<double>(whole) == value ? Json(whole) : Json(value);
}

// Percent of the traffic that each revision has.
Json weights(const model::Deployment& deployment, double of_target) {
  auto out = Json::object({{revision_arn(deployment, deployment.target), number(of_target)}});
  if (deployment.source) out.set(revision_arn(deployment, *deployment.source), number(100 - of_target));
  return out;
}

std::string first_bytes(const std::string& body) { return body.size() > 200 ? body.substr(0, 200) + "…" : body; }

bool answers_later(const control::HookCall& call) {
  return !call.deployment.configuration.hooks.at(call.run.hook).lifecycle_event.empty();
}

}  // namespace

std::string hook_event(const control::HookCall& call) {
  const auto& [deployment, run, url] = call;
  const auto& hook = deployment.configuration.hooks.at(run.hook);
  if (answers_later(call))
    return Json::object({{"DeploymentId", deployment.code_deploy ? deployment.code_deploy->id : deployment.id},
                         {"LifecycleEventHookExecutionId", run.id}}).dump();
  bool forward = deployment.status == model::DeploymentStatus::InProgress;
  bool tested = forward && deployment.stage >= model::Stage::TestTrafficShift;
  model::Service service{.scope = deployment.scope, .cluster = deployment.cluster, .name = deployment.service};
  auto event = Json::object({{"executionId", run.id},
                             {"lifecycleStage", std::string(name_of(run.stage))},
                             {"resourceArn", deployment_arn(deployment)},
                             {"executionDetails", Json::object({{"serviceArn", service_arn(service)},
                                                                {"targetServiceRevisionArn", revision_arn(deployment, deployment.target)},
                                                                {"testTrafficWeights", weights(deployment, tested ? 100 : 0)},
                                                                {"productionTrafficWeights", weights(deployment, deployment.production_weight)}})}});
  const auto& details = run.details.empty() ? hook.details : run.details;
  if (auto parsed = codec::parse_json(details); parsed && !details.empty()) event.set("hookDetails", *parsed);
  return event.dump();
}

HookAnswer read_hook_answer(const control::HookCall& call, int status, const std::string& body) {
  if (status == 502 || status == 503 || status == 504)
    return {.kind = HookAnswer::Kind::Unreachable, .reason = fmt::format("{} answered {}: {}", call.url, status, first_bytes(body))};
  if (status < 200 || status > 299) return {.reason = fmt::format("{} answered {}: {}", call.url, status, first_bytes(body))};
  if (answers_later(call)) return {.kind = HookAnswer::Kind::Accepted};
  auto json = codec::parse_json(body).value_or(Json());
  const auto& said = json["hookStatus"].as_string();
  HookAnswer answer{.reason = json["reason"].as_string(), .delay = Seconds(std::max<std::int64_t>(1, json["callBackDelay"].as_int(30)))};
  if (json["hookDetails"].is_object()) answer.details = json["hookDetails"].dump();
  if (said == "SUCCEEDED") answer.kind = HookAnswer::Kind::Succeeded;
  else if (said == "IN_PROGRESS") answer.kind = HookAnswer::Kind::InProgress;
  else if (said == "FAILED") answer.reason = answer.reason.empty() ? "it answered FAILED: " + first_bytes(body) : answer.reason;
  else answer.reason = fmt::format("{} gave no hookStatus of SUCCEEDED, FAILED or IN_PROGRESS: {}", call.url, first_bytes(body));
  return answer;
}

HookAnswer call_hook(const control::HookCall& call, const std::atomic<bool>& cancelled) {
  net::Request request{.method = "POST", .target = call.url, .body = hook_event(call)};
  request.headers.set("content-type", "application/json");
  auto response = net::fetch(request, {.timeout = kLongestCall, .cancelled = &cancelled});
  if (response) return read_hook_answer(call, response->status, response->body);
  bool again = response.error().code == Code::Unavailable || response.error().code == Code::Cancelled;
  return {.kind = again ? HookAnswer::Kind::Unreachable : HookAnswer::Kind::Failed, .reason = response.error().message};
}

}  // namespace watari::aws::ecs
