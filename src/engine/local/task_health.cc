// The health checks of a task's containers: exec in the shim, one after the other, judged by HealthState.
#include "engine/local/task_run.h"

#include "codec/reflect.h"

namespace watari::engine {

using codec::Json;
using model::ContainerState;

namespace {

constexpr std::size_t kMaxHealthOutput = 4096;

}  // namespace

void TaskRun::schedule_health(std::size_t index) {
  auto& health = containers_[index].health;
  auto running = host_.clock.now() - status_of(index).started_at.value_or(host_.clock.now());
  host_.loop.after(health->next_check_in(running), [weak = weak_from_this(), index] {
    if (auto self = weak.lock()) self->check_health(index);
  });
}

void TaskRun::check_health(std::size_t index) {
  if (status_of(index).state != ContainerState::Running || !shim_ || record_.stop_wanted) return;
  const auto& check = containers_[index].health->check();
  runtime::ExecRequest request{status_of(index).name, HealthState::command(check), Millis(check.timeout).count()};
  shim_->call("exec", codec::to_json(request), [this, weak = weak_from_this(), index](Result<Json> reply) {
    runtime::ExecReply done;
    if (reply)
      done = codec::from_json<runtime::ExecReply>(*reply).value_or(runtime::ExecReply{.exit_code = 1, .output = "unreadable reply"});
    else
      done = {.exit_code = 1, .output = reply.error().message};
    if (done.timed_out) done.output += "\nHealth check exceeded its timeout";
    host_.loop.post([weak, index, success = done.exit_code == 0, output = done.output.substr(0, kMaxHealthOutput)] {
      if (auto self = weak.lock()) self->health_checked(index, success, output);
    });
  });
}

void TaskRun::health_checked(std::size_t index, bool success, const std::string& output) {
  auto& status = status_of(index);
  if (status.state != ContainerState::Running || record_.stop_wanted) return;
  auto& health = *containers_[index].health;
  auto running = host_.clock.now() - status.started_at.value_or(host_.clock.now());
  bool changed = health.record(success, running);
  // What a passing check prints may differ each time; that is no news.
  changed |= !success && status.health_output != output;
  status.health = health.health();
  status.health_output = output;
  if (changed) report();
  schedule_health(index);
  if (changed) advance();
}

}  // namespace watari::engine
