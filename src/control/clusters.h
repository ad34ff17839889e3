#pragma once
// Clusters and task definitions: commands and look-ups. Thread: the control loop.
#include <optional>
#include <string>

#include "control/control.h"

namespace watari::control {

// Makes the cluster when it is missing (the default cluster exists from its first use on).
Result<void> ensure_cluster(Control& control, const model::Scope& scope, const std::string& name);

// The next revision of its family, durable. `definition` is valid already.
Result<model::TaskDefinition> register_task_definition(Control& control, model::TaskDefinition definition);

// revision 0: the newest active one.
std::optional<model::TaskDefinition> find_task_definition(const State& state, const model::Scope& scope,
                                                          const std::string& family, int revision);

}  // namespace watari::control
