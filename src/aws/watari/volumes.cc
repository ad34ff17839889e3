// Shared volumes: what there is, and erasing it.
#include "async/loop.h"
#include "aws/gen/watari/delete_volume.h"
#include "aws/gen/watari/list_volumes.h"
#include "base/strings.h"
#include "control/control.h"
#include "engine/volumes.h"

namespace watari::aws::watari {
namespace {

// Tasks that run, or are about to, with this volume. On the control loop.
std::vector<std::string> tasks_with(const control::State& state, const model::Scope& scope, const std::string& volume) {
  std::vector<std::string> out;
  state.tasks.each(control::scope_prefix(scope), [&](const std::string&, const model::Task& task) {
    const auto* definition = state.task_definitions.find(control::task_definition_key(scope, task.family, task.revision));
    if (task.status.state == model::TaskState::Stopped || !definition) return;
    for (const auto& one : definition->volumes)
      if (one.shared && one.name == volume) out.push_back(task.id);
  });
  return out;
}

}  // namespace

Result<ListVolumesResponse> list_volumes(Call& call, const ListVolumesRequest&) {
  auto& control = *call.platform.control;
  auto root = control.options().root;
  ListVolumesResponse response;
  for (const auto& name : engine::shared_volumes(root, call.scope.key())) {
    VolumeSummary volume;
    volume.name = name;
    volume.sizeBytes = engine::size_of_volume(engine::shared_volume(root, call.scope.key(), name));
    volume.tasks = call.platform.control_loop.call([&] { return tasks_with(control.state(), call.scope, name); });
    response.volumes.push_back(std::move(volume));
  }
  return response;
}

Result<DeleteVolumeResponse> delete_volume(Call& call, const DeleteVolumeRequest& request) {
  auto& control = *call.platform.control;
  auto root = control.options().root;
  // On the loop: no task can be written down between the look and the step, and one that comes after finds no volume.
  TRY_VOID(call.platform.control_loop.call([&]() -> Result<void> {
    auto users = tasks_with(control.state(), call.scope, request.name);
    if (!users.empty()) return fail(Code::Conflict, "the volume {} is used by {}; stop what runs with it first", request.name, join(users, ", "));
    auto done = engine::set_volume_aside(root, call.scope.key(), request.name);
    if (!done && done.error().code == Code::NotFound) return fail(Error{Code::NotFound, done.error().message, "ResourceNotFoundException"});
    return done;
  }));
  TRY_VOID(engine::erase_volumes_aside(root));
  return DeleteVolumeResponse{};
}

}  // namespace watari::aws::watari
