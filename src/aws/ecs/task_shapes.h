#pragma once
// Tasks as ECS describes them.
#include "aws/gen/ecs/shape/Task.h"
#include "control/control.h"
#include "model/task.h"

namespace watari::aws::ecs {

Task describe_task(const control::State& state, const model::Task& task, bool with_tags);

}  // namespace watari::aws::ecs
