#include "control/tasks.h"

#include <algorithm>
#include <limits>

#include "codec/reflect.h"
#include "control/network.h"

namespace watari::control {
namespace {

// The subnet with the fewest of the cluster's tasks: spread over the zones.
std::string choose_subnet(const State& state, const TaskOrder& order) {
  std::map<std::string, int> used;
  for (const auto& subnet : order.network.subnets) used[subnet] = 0;
  state.tasks.each(scope_prefix(order.scope) + order.cluster + "/", [&](const std::string&, const model::Task& task) {
    if (task.status.state == model::TaskState::Stopped || task.service != order.service) return;
    if (auto found = used.find(task.subnet); found != used.end()) ++found->second;
  });
  std::string best;
  int fewest = std::numeric_limits<int>::max();
  for (const auto& subnet : order.network.subnets)
    if (used[subnet] < fewest) {
      best = subnet;
      fewest = used[subnet];
    }
  return best;
}

void fail_before_start(model::Task& task, const std::string& reason, Time now) {
  task.status.state = model::TaskState::Stopped;
  task.status.stop_code = "TaskFailedToStart";
  task.status.stop_reason = reason;
  task.status.stopped_at = now;
}

// The images' digests, so that every task of a revision runs the same bytes although a tag has moved on.
Result<void> pin_images(const Control& control, const TaskOrder& order, model::Task& task) {
  task.pinned_images = order.pinned_images;
  for (const auto& container : order.definition->containers) {
    if (task.pinned_images.contains(container.name)) continue;
    auto digest = control.image_digest(container.image);
    if (!digest)
      return fail(digest.error().within(fmt::format("CannotPullContainerError: container {}, image {}", container.name,
                                                    container.image)));
    task.pinned_images[container.name] = *digest;
  }
  return {};
}

// Was the task asked for with the same words? Where it was placed is not compared, but among the places that were offered.
bool made_from(const model::Task& task, const TaskOrder& order) {
  return task.family == order.definition->family && task.revision == order.definition->revision && task.launch_type == order.launch_type &&
         task.started_by == order.started_by && (order.group.empty() || task.group == order.group) &&
         (task.subnet.empty() || std::ranges::count(order.network.subnets, task.subnet) > 0) &&
         task.public_ip == (order.network.assign_public_ip && !task.subnet.empty()) &&
         codec::to_json(task.overrides) == codec::to_json(order.overrides);
}

}  // namespace

Result<model::Task> make_task(Control& control, const TaskOrder& order) {
  auto& state = control.state();
  model::Task task;
  task.scope = order.scope;
  task.id = random_hex(32);
  task.cluster = order.cluster;
  task.service = order.service;
  task.deployment = order.deployment;
  task.service_revision = order.service_revision;
  task.group = order.group.empty() ? (order.service.empty() ? "family:" + order.definition->family : "service:" + order.service)
                                   : order.group;
  task.started_by = order.started_by;
  task.client_token = order.client_token;
  task.family = order.definition->family;
  task.revision = order.definition->revision;
  task.launch_type = order.launch_type;
  task.overrides = order.overrides;
  task.tags = order.tags;
  task.created_at = control.now();
  task.status.task = task.id;
  for (const auto& container : order.definition->containers)
    task.status.containers.push_back({.name = container.name, .image = container.image});

  if (auto pinned = pin_images(control, order, task); !pinned) {
    fail_before_start(task, pinned.error().message, control.now());
  } else {
    auto subnet = choose_subnet(state, order);
    TRY(auto interface, allocate_address(state, order.scope, subnet, task.id, order.network.security_groups, control.now()));
    task.vpc = interface.vpc;
    task.subnet = interface.subnet;
    task.address = interface.address;
    task.zone = interface.zone;
    task.interface_id = interface.id;
    task.mac = interface.mac;
    task.security_groups = interface.groups;
    task.public_ip = order.network.assign_public_ip;
  }
  state.tasks.put(task_key(task), task);
  return task;
}

Result<std::vector<model::Task>> run_tasks(Control& control, TaskOrder order, int count) {
  std::vector<model::Task> tasks;
  if (!order.client_token.empty()) {
    control.state().tasks.each(scope_prefix(order.scope) + order.cluster + "/", [&](const std::string&, const model::Task& task) {
      if (task.client_token == order.client_token) tasks.push_back(task);
    });
    if (!tasks.empty() && (static_cast<int>(tasks.size()) != count || !std::ranges::all_of(tasks, [&](const auto& task) { return made_from(task, order); })))
      return fail(Error{Code::Conflict,
                        fmt::format("The client token {} was used before, with other parameters, for {} tasks: {} …", order.client_token,
                                    tasks.size(), tasks[0].id),
                        "ConflictException"});
    if (!tasks.empty()) return tasks;
  }
  return control.commit([&]() -> Result<std::vector<model::Task>> {
    for (int i = 0; i < count; ++i) {
      TRY(auto task, make_task(control, order));
      tasks.push_back(std::move(task));
    }
    return tasks;
  });
}

Result<model::Task> stop_task(Control& control, const std::string& key, const std::string& code, const std::string& reason) {
  return control.commit([&]() -> Result<model::Task> {
    auto task = control.state().tasks.get(key);
    if (!task) return fail(Code::NotFound, "no task {}", key);
    if (task->desired_stopped || task->status.state == model::TaskState::Stopped) return *task;
    task->desired_stopped = true;
    task->stop_code = code;
    task->stop_reason = reason;
    control.state().tasks.put(key, *task);
    return *task;
  });
}

}  // namespace watari::control
