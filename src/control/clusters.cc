#include "control/clusters.h"

namespace watari::control {

Result<void> ensure_cluster(Control& control, const model::Scope& scope, const std::string& name) {
  auto key = cluster_key(scope, name);
  if (control.state().clusters.has(key)) return {};
  return control.commit([&]() -> Result<void> {
    control.state().clusters.put(key, model::Cluster{.scope = scope, .name = name, .created_at = control.now()});
    return {};
  });
}

Result<model::TaskDefinition> register_task_definition(Control& control, model::TaskDefinition definition) {
  auto& state = control.state();
  return control.commit([&]() -> Result<model::TaskDefinition> {
    auto key = family_key(definition.scope, definition.family);
    auto family = state.families.get(key).value_or(Family{});
    definition.revision = ++family.last_revision;
    definition.registered_at = control.now();
    state.families.put(key, family);
    state.task_definitions.put(task_definition_key(definition.scope, definition.family, definition.revision), definition);
    return definition;
  });
}

std::optional<model::TaskDefinition> find_task_definition(const State& state, const model::Scope& scope,
                                                          const std::string& family, int revision) {
  if (revision) return state.task_definitions.get(task_definition_key(scope, family, revision));
  std::optional<model::TaskDefinition> newest;
  state.task_definitions.each(scope_prefix(scope) + family + "/", [&](const auto&, const model::TaskDefinition& candidate) {
    if (candidate.active) newest = candidate;
  });
  return newest;
}

}  // namespace watari::control
