// Commands in running containers: no agent in the container, no shell on the host, no open port.
#include <algorithm>

#include "async/loop.h"
#include "aws/ecs/names.h"
#include "aws/gen/watari/run_command.h"
#include "control/control.h"

namespace watari::aws::watari {
namespace {

auto not_found(const std::string& message) { return fail(Error{Code::NotFound, message, "ResourceNotFoundException"}); }

// The container that is meant; without a name the first that runs.
Result<std::string> container_of(const model::Task& task, const std::string& wanted) {
  std::string names;
  for (const auto& container : task.status.containers) {
    if (container.name != wanted && !wanted.empty()) {
      names += (names.empty() ? "" : ", ") + container.name;
      continue;
    }
    if (container.state == model::ContainerState::Running) return container.name;
    if (!wanted.empty())
      return fail(Error{Code::FailedPrecondition, fmt::format("container {} of task {} is not running", wanted, task.id), "ValidationException"});
  }
  if (wanted.empty())
    return fail(Error{Code::FailedPrecondition, fmt::format("task {} has no running container", task.id), "ValidationException"});
  return not_found(fmt::format("task {} has no container {} (there are: {})", task.id, wanted, names));
}

}  // namespace

Result<RunCommandResponse> run_command(Call& call, const RunCommandRequest& request) {
  auto& control = *call.platform.control;
  TRY(auto cluster, ecs::cluster_name(call.scope, request.cluster));
  TRY(auto id, ecs::task_id(call.scope, cluster, request.task));
  // The state belongs to the control loop; the command itself runs on this thread of the pool.
  auto container = call.platform.control_loop.call([&]() -> Result<std::string> {
    const auto* task = control.state().tasks.find(control::task_key(call.scope, cluster, id));
    if (!task) return not_found(fmt::format("no task {} in cluster {}", id, cluster));
    return container_of(*task, request.container.value_or(""));
  });
  if (!container) return fail(container.error());
  TRY(auto done, control.engine()->exec(id, *container, request.command, Seconds(request.timeoutSeconds.value_or(60))));
  RunCommandResponse response;
  response.container = *container;
  response.exitCode = done.exit_code;
  response.output = std::move(done.output);
  return response;
}

}  // namespace watari::aws::watari
