// Sessions in containers, by the targets that ECS's clients build: ecs:<cluster>_<task id>_<container's runtime id>.
// Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_StartSession.html
#include <algorithm>

#include "aws/gen/ssm/start_session.h"
#include "aws/gen/ssm/terminate_session.h"
#include "aws/terminals.h"
#include "base/strings.h"
#include "base/words.h"
#include "control/control.h"
#include "engine/sessions.h"

namespace watari::aws::ssm {
namespace {

struct Found {
  const model::Task* task = nullptr;
  std::string container;
};

// Names of clusters may have underscores; the other two parts have none.
Result<Found> find_target(const Call& call, const std::string& target) {
  auto last = target.rfind('_');
  auto middle = last == std::string::npos ? last : target.rfind('_', last - 1);
  if (!target.starts_with("ecs:") || middle == std::string::npos)
    return error("TargetNotConnected", "{} is not connected: targets here are ecs:CLUSTER_TASK_RUNTIMEID.", target);
  auto cluster = target.substr(4, middle - 4), id = target.substr(middle + 1, last - middle - 1), runtime = target.substr(last + 1);
  const auto* task = call.platform.control->state().tasks.find(control::task_key(call.scope, cluster, id));
  if (!task) return error("TargetNotConnected", "{} is not connected: there is no such task.", target);
  auto container = std::ranges::find(task->status.containers, runtime, &model::ContainerStatus::runtime_id);
  if (container == task->status.containers.end()) return error("TargetNotConnected", "{} is not connected: the task has no such container.", target);
  return Found{task, container->name};
}

}  // namespace

Result<StartSessionResponse> start_session(Call& call, const StartSessionRequest& request) {
  TRY(auto found, find_target(call, request.Target));
  auto allowed = exec_container(*found.task, found.container);
  if (!allowed) return error("TargetNotConnected", "{}", allowed.error().message);
  std::vector<std::string> argv = {"/bin/sh"};
  if (request.DocumentName == "AWS-StartInteractiveCommand") {
    auto command = request.Parameters.find("command");
    auto words = command == request.Parameters.end() ? std::nullopt : split_words(join(command->second, " "));
    if (!words || words->empty()) return error("InvalidParameters", "AWS-StartInteractiveCommand needs the parameter command.");
    argv = *std::move(words);
  } else if (!request.Parameters.empty()) {
    return error("InvalidParameters", "The document SSM-SessionManagerRunShell takes no parameters here.");
  }
  TRY(auto session, open_session(call, *found.task, found.container, std::move(argv)));
  StartSessionResponse response;
  response.SessionId = session.id;
  response.StreamUrl = session.url;
  response.TokenValue = session.token;
  return response;
}

Result<TerminateSessionResponse> terminate_session(Call& call, const TerminateSessionRequest& request) {
  auto* sessions = sessions_of(call);
  if (!sessions || !sessions->terminate(request.SessionId))
    return error("DoesNotExistException", "There is no session {}.", request.SessionId);
  return TerminateSessionResponse{.SessionId = request.SessionId};
}

}  // namespace watari::aws::ssm
