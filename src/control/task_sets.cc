#include "control/task_sets.h"

#include <algorithm>

#include "control/services.h"
#include "plan/reconcile.h"

namespace watari::control {
namespace {

Result<model::Service> external_service(const State& state, const std::string& key) {
  auto service = state.services.get(key);
  if (!service) return fail(Error{Code::NotFound, "Service not found.", "ServiceNotFoundException"});
  if (service->status != "ACTIVE") return fail(Error{Code::FailedPrecondition, "Service was not ACTIVE.", "ServiceNotActiveException"});
  if (service->controller != "EXTERNAL")
    return fail(Error{Code::FailedPrecondition,
                      fmt::format("The service {} has the deployment controller {}; task sets are managed by hand for EXTERNAL only.", service->name, service->controller),
                      "InvalidParameterException"});
  return *std::move(service);
}

// Lets `change` have the service and its task set; both are written when it succeeds.
template <class Change>
Result<model::TaskSet> change_set(Control& control, const std::string& key, const std::string& id, Change&& change) {
  auto& state = control.state();
  return control.commit([&]() -> Result<model::TaskSet> {
    TRY(auto service, external_service(state, key));
    auto found = std::ranges::find_if(service.task_sets, [&](const auto& set) { return set.revision.id == id && set.status != "DRAINING"; });
    if (found == service.task_sets.end()) return fail(Error{Code::NotFound, "The specified task set does not exist.", "TaskSetNotFoundException"});
    TRY_VOID(change(service, *found));
    found->updated_at = control.now();
    auto set = *found;
    state.services.put(key, std::move(service));
    return set;
  });
}

void unsettle(const model::Service& service, model::TaskSet& set, int count_before, Time now) {
  if (plan::task_set_count(set, service.desired_count) == count_before || !set.stable) return;
  set.stable = false;
  set.stable_since = now;
}

}  // namespace

Result<model::TaskSet> create_task_set(Control& control, const std::string& key, model::TaskSet set) {
  auto& state = control.state();
  return control.commit([&]() -> Result<model::TaskSet> {
    TRY(auto service, external_service(state, key));
    for (const auto& other : service.task_sets)
      if (!set.client_token.empty() && other.client_token == set.client_token) return other;
    auto& revision = set.revision;
    revision.id = new_revision_id();
    revision.created_at = set.created_at = set.updated_at = set.stable_since = control.now();
    for (const auto& balancer : revision.load_balancers) revision.target_groups.push_back(balancer.target_group);
    service.task_sets.push_back(set);
    add_event(service, control.now(), fmt::format("(service {}) (task-set ecs-svc/{}) was created.", service.name, revision.id));
    state.services.put(key, std::move(service));
    return set;
  });
}

Result<model::TaskSet> scale_task_set(Control& control, const std::string& key, const std::string& id, double percent) {
  return change_set(control, key, id, [&](const model::Service& service, model::TaskSet& set) -> Result<void> {
    auto before = plan::task_set_count(set, service.desired_count);
    set.scale = percent;
    unsettle(service, set, before, control.now());
    return {};
  });
}

Result<model::TaskSet> make_primary(Control& control, const std::string& key, const std::string& id) {
  return change_set(control, key, id, [&](model::Service& service, model::TaskSet& set) -> Result<void> {
    for (auto& other : service.task_sets)
      if (other.status == "PRIMARY") other.status = "ACTIVE";
    set.status = "PRIMARY";
    service.target = set.revision;
    return {};
  });
}

Result<model::TaskSet> delete_task_set(Control& control, const std::string& key, const std::string& id, bool force) {
  return change_set(control, key, id, [&](model::Service& service, model::TaskSet& set) -> Result<void> {
    auto before = plan::task_set_count(set, service.desired_count);
    if (before > 0 && !force)
      return fail(Error{Code::FailedPrecondition, "The task set cannot be deleted while it is scaled above 0. Scale it to 0, or use force.",
                        "InvalidParameterException"});
    set.status = "DRAINING";
    unsettle(service, set, before, control.now());
    add_event(service, control.now(), fmt::format("(service {}) (task-set ecs-svc/{}) was deleted.", service.name, id));
    return {};
  });
}

}  // namespace watari::control
