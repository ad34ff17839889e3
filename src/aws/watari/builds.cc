// Builds. Contexts are uploaded beside the API (contexts.cc), as they do not fit in a request.
#include "aws/gen/watari/find_context.h"
#include "aws/gen/watari/get_build.h"
#include "aws/gen/watari/start_base_build.h"
#include "aws/gen/watari/start_build.h"
#include "aws/gen/watari/stop_build.h"
#include <algorithm>

#include "aws/docker.h"
#include "builder/builder.h"

namespace watari::aws::watari {

namespace {

Result<builder::Builder*> builder_of(Call& call) {
  if (call.platform.builder) return call.platform.builder;
  return fail(Code::Unavailable, "this server was started without its builder");
}

// NotFound of the room below is a missing context or build.
template <class T>
Result<T> named(Result<T> result) {
  if (result || !result.error().reason.empty()) return result;
  auto error = result.error();
  if (error.code == Code::NotFound) error.reason = "ResourceNotFoundException";
  if (error.code == Code::InvalidArgument) error.reason = "ValidationException";
  return fail(std::move(error));
}

BuildStep to_wire(const builder::Step& step) {
  BuildStep out;
  out.number = step.number;
  out.stage = step.stage;
  out.instruction = step.instruction;
  out.line = step.line;
  out.status = std::string(name_of(step.status));
  out.milliseconds = step.milliseconds;
  if (!step.reason.empty()) out.reason = step.reason;
  return out;
}

}  // namespace

Result<FindContextResponse> find_context(Call& call, const FindContextRequest& request) {
  TRY(auto* builder, builder_of(call));
  TRY(auto id, named(builder->find_context(request.sha256)));
  return FindContextResponse{.contextId = id};
}

namespace {

Result<builder::BuildLimits> limits_of(const StartBuildRequest& request) {
  builder::BuildLimits limits;
  if (request.memoryMiB.value_or(0) < 0 || request.cpus.value_or(0) < 0 || request.timeoutSeconds.value_or(1) <= 0)
    return fail(Code::InvalidArgument, "memoryMiB and cpus cannot be negative, timeoutSeconds must be positive");
  limits.memory_bytes = std::int64_t{request.memoryMiB.value_or(0)} << 20;
  limits.cpus = request.cpus.value_or(0);
  if (request.timeoutSeconds) limits.timeout = Seconds(*request.timeoutSeconds);
  return limits;
}

// Long enough to save asking often, short enough for the threads that answer everybody.
Millis wait_of(const std::optional<std::int32_t>& milliseconds) { return Millis(std::clamp(milliseconds.value_or(0), 0, 1000)); }

// As the answer of GetBuild, or as a part of another.
template <class Response>
Response to_wire(const builder::BuildReport& report) {
  Response response;
  response.buildId = report.build_id;
  response.status = std::string(name_of(report.status));
  response.startedAt = report.started_at;
  if (report.status != builder::BuildStatus::Running) response.endedAt = report.ended_at;
  if (!report.image_digest.empty()) response.imageDigest = report.image_digest;
  if (!report.error.empty()) response.error = report.error;
  response.tags = report.tags;
  for (const auto& step : report.steps) response.steps.push_back(to_wire(step));
  for (const auto& line : report.lines) {
    BuildLogLine out;
    out.step = line.step;
    out.at = line.at;
    out.text = line.text;
    response.logLines.push_back(std::move(out));
  }
  for (const auto& warning : report.warnings) {
    BuildWarning out;
    out.rule = warning.rule;
    out.line = warning.line;
    out.message = warning.message;
    out.quote = warning.quote;
    response.warnings.push_back(std::move(out));
  }
  response.nextLogPosition = report.next_log_position;
  return response;
}

}  // namespace

Result<StartBuildResponse> start_build(Call& call, const StartBuildRequest& request) {
  TRY(auto* builder, builder_of(call));
  builder::BuildRequest wanted;
  if (request.dockerfileText) wanted.dockerfile_text = *request.dockerfileText;
  wanted.contexts = request.contexts;
  wanted.secrets = request.secrets;
  wanted.agents = request.sshAgents;
  TRY(wanted.limits, named(limits_of(request)));
  if (request.docker.value_or(false)) {
    wanted.docker_host = "tcp://" + call.platform.endpoint;
    wanted.docker_config = docker_config(*call.platform.credentials, call.now + Seconds(12 * 3600));
  }
  wanted.check = request.check.value_or(false);
  wanted.context_id = request.contextId;
  wanted.dockerfile = request.dockerfile.value_or("Dockerfile");
  wanted.target = request.target.value_or("");
  wanted.build_args = request.buildArgs;
  wanted.tags = request.tags;
  wanted.no_cache = request.noCache.value_or(false);
  TRY(auto id, named(builder->start(std::move(wanted))));
  StartBuildResponse response{.buildId = id};
  if (auto wait = wait_of(request.waitMilliseconds); wait > Millis(0)) {
    TRY(auto report, named(builder->get(id, 0, wait)));
    response.build = to_wire<BuildReport>(report);
  }
  return response;
}

Result<StartBaseBuildResponse> start_base_build(Call& call, const StartBaseBuildRequest& request) {
  TRY(auto* builder, builder_of(call));
  builder::BaseRequest wanted;
  wanted.name = request.name;
  wanted.suite = request.suite.value_or(wanted.suite);
  wanted.packages = request.packages;
  wanted.from = request.from.value_or(wanted.from);
  wanted.users = request.users;
  wanted.certificates = request.certificates;
  TRY(auto id, named(builder->start_base(std::move(wanted))));
  return StartBaseBuildResponse{.buildId = id};
}

Result<GetBuildResponse> get_build(Call& call, const GetBuildRequest& request) {
  TRY(auto* builder, builder_of(call));
  TRY(auto report, named(builder->get(request.buildId, request.logPosition.value_or(0), wait_of(request.waitMilliseconds))));
  return to_wire<GetBuildResponse>(report);
}

Result<StopBuildResponse> stop_build(Call& call, const StopBuildRequest& request) {
  TRY(auto* builder, builder_of(call));
  TRY_VOID(named(builder->stop(request.buildId)));
  return StopBuildResponse{};
}

}  // namespace watari::aws::watari
