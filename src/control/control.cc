#include "control/control.h"

#include <algorithm>

#include "base/log.h"
#include "control/evaluation.h"
#include "control/meter.h"

namespace watari::control {

Control::Control(Options options, const Clock& clock, Scheduler& scheduler)
    : options_(std::move(options)), clock_(clock), scheduler_(scheduler) {}

Control::~Control() = default;

Result<std::unique_ptr<Control>> Control::open(Options options, const Clock& clock, Scheduler& scheduler) {
  std::unique_ptr<Control> control(new Control(std::move(options), clock, scheduler));
  TRY(control->database_, store::Database::open(control->options_.root / "watari.db"));
  control->state_ = std::make_unique<State>(*control->database_);
  if (auto& damage = control->database_->damage()) return fail(*damage);
  control->meter_ = std::make_unique<Meter>(*control);
  control->evaluation_ = std::make_unique<Evaluation>(*control);
  control->database_->on_change([raw = control.get()] { raw->schedule(); });
  return control;
}

Result<void> Control::start(Ports ports) {
  ports_ = std::move(ports);
  TRY(auto found, ports_.engine->recover([this](model::TaskStatus status) { observe(std::move(status)); }));
  auto& evaluation = *evaluation_;
  for (auto& status : found) {
    evaluation.known.insert(status.task);
    evaluation.inbox.push_back(std::move(status));
  }
  // What had been started and is unknown now is gone; what had not been started yet will be.
  state_->tasks.each("", [&](const std::string&, const model::Task& task) {
    auto state = task.status.state;
    if (state == model::TaskState::Provisioning || state == model::TaskState::Stopped || evaluation.known.contains(task.id))
      return;
    model::TaskStatus gone = task.status;
    gone.task = task.id;
    gone.state = model::TaskState::Stopped;
    gone.stop_code = "TerminationNotice";
    gone.stop_reason = "The task was gone when the server came back: the host was restarted, or its shim was killed.";
    gone.stopped_at = now();
    evaluation.inbox.push_back(std::move(gone));
  });
  evaluation.started = true;
  meter_->start();
  schedule();
  return {};
}

metrics::Store& Control::metrics() { return meter_->store(); }

std::vector<model::TargetHealth> Control::target_health(const std::string& target_group) const {
  auto of_group = evaluation_->health_of(target_group);
  return {of_group.begin(), of_group.end()};
}

Result<std::string> Control::image_digest(const std::string& image) const {
  if (!ports_.image_digest) return fail(Code::Unavailable, "this server runs without an image store");
  return ports_.image_digest(image);
}

void Control::observe(model::TaskStatus status) {
  scheduler_.post([this, status = std::move(status)]() mutable {
    evaluation_->inbox.push_back(std::move(status));
    schedule();
  });
}

void Control::observe(std::vector<model::TargetHealth> health) {
  scheduler_.post([this, health = std::move(health)]() mutable {
    evaluation_->health = std::move(health);
    // As the balancer tells it, group by group, it is in order already.
    constexpr auto by = &model::TargetHealth::target_group;
    if (!std::ranges::is_sorted(evaluation_->health, {}, by)) std::ranges::sort(evaluation_->health, {}, by);
    evaluation_->health_at = now();
    schedule();
  });
}

void Control::schedule() {
  if (evaluation_->scheduled || !evaluation_->started) return;
  evaluation_->scheduled = true;
  scheduler_.post([this] { evaluate(); });
}

void Control::evaluate() {
  auto& evaluation = *evaluation_;
  evaluation.scheduled = false;
  evaluation.wake.reset();
  if (auto decided = evaluation.decide(); !decided) {
    // Nothing was changed and nothing is told to anybody; the inbox is still full.
    log::error("evaluation: {}; trying again in a second", decided.error().message);
    evaluation.wake_at(now() + Seconds(1));
  } else {
    evaluation.carry_out();
  }
  evaluation.arm_timer();
}

}  // namespace watari::control
