#include <gtest/gtest.h>

#include <algorithm>

#include "plan/reconcile.h"

namespace watari::plan {
namespace {

using model::DeploymentStatus;
using model::HookStatus;
using model::Stage;

const Time kNow{Seconds(1'000'000)};

// One deployment at a stage, whose plans are written back as control does it.
struct Release {
  explicit Release(model::Strategy strategy) {
    snapshot.now = kNow;
    auto& service = snapshot.service;
    service.name = "web";
    service.target.id = "new";
    service.completed = model::ServiceRevision{.id = "old"};
    model::Deployment deployment{.id = "ecs-svc/1", .target = service.target, .source = service.completed};
    deployment.configuration.strategy = strategy;
    deployment.status = DeploymentStatus::InProgress;
    deployment.started_at = deployment.created_at = kNow;
    deployment.verdict.enabled = false;
    snapshot.deployments.push_back(deployment);
  }
  model::Deployment& deployment() { return snapshot.deployments.back(); }
  model::LifecycleHook& hook(model::HookTarget target, std::vector<Stage> stages) {
    auto& hooks = deployment().configuration.hooks;
    hooks.push_back({.target = target, .target_arn = target == model::HookTarget::Pause ? "" : "http://hook/", .stages = std::move(stages)});
    return hooks.back();
  }
  Plan step() {
    auto plan = reconcile(snapshot);
    for (const auto& action : plan.actions) {
      if (auto* put = std::get_if<PutDeployment>(&action)) deployment() = put->deployment;
      if (auto* put = std::get_if<PutService>(&action)) snapshot.service = put->service;
    }
    return plan;
  }
  void settle() {
    for (int i = 0; i < 30; ++i) step();
  }
  model::HookRun& run() { return deployment().hook_runs.back(); }
  void answer(HookStatus status) {
    run().status = status;
    run().finished_at = snapshot.now;
  }
  ServiceSnapshot snapshot;
};

TEST(Hooks, HoldAStageUntilAllHaveSucceeded) {
  Release release(model::Strategy::BlueGreen);
  release.hook(model::HookTarget::Lambda, {Stage::PreScaleUp});
  release.hook(model::HookTarget::Pause, {Stage::PreScaleUp});
  release.settle();
  EXPECT_EQ(release.deployment().stage, Stage::PreScaleUp);
  ASSERT_EQ(release.deployment().hook_runs.size(), 2u);
  EXPECT_EQ(release.deployment().hook_runs[0].status, HookStatus::InProgress);
  EXPECT_EQ(release.deployment().hook_runs[1].status, HookStatus::AwaitingAction);
  EXPECT_NE(release.deployment().hook_runs[0].id, release.deployment().hook_runs[1].id);
  release.answer(HookStatus::Succeeded);
  release.settle();
  EXPECT_EQ(release.deployment().stage, Stage::PreScaleUp);
  release.deployment().hook_runs[0].status = HookStatus::Succeeded;
  release.settle();
  EXPECT_EQ(release.deployment().status, DeploymentStatus::Successful);
  EXPECT_EQ(release.deployment().hook_runs.size(), 2u);
}

TEST(Hooks, OfTrafficShiftsComeAtEveryStep) {
  Release release(model::Strategy::Linear);
  release.deployment().configuration.linear_step_percent = 25;
  release.deployment().configuration.linear_step_bake_time = Seconds(0);
  release.hook(model::HookTarget::Lambda, {Stage::PreProductionTrafficShift, Stage::ProductionTrafficShift});
  std::vector<std::pair<Stage, double>> seen;
  for (int i = 0; i < 100 && !release.deployment().finished_at; ++i) {
    release.step();
    if (release.deployment().hook_runs.empty() || release.run().finished_at) continue;
    seen.emplace_back(release.run().stage, release.deployment().production_weight);
    release.answer(HookStatus::Succeeded);
  }
  using enum Stage;
  std::vector<std::pair<Stage, double>> wanted;
  for (double weight : {0., 25., 50., 75.}) {
    wanted.emplace_back(PreProductionTrafficShift, weight);
    wanted.emplace_back(ProductionTrafficShift, weight + 25);
  }
  EXPECT_EQ(seen, wanted);
  EXPECT_EQ(release.deployment().status, DeploymentStatus::Successful);
}

TEST(Hooks, OfCodeDeployComeOnce) {
  Release release(model::Strategy::Canary);
  release.deployment().code_deploy.emplace();
  release.deployment().configuration.canary_bake_time = Seconds(0);
  release.hook(model::HookTarget::Lambda, {Stage::PreProductionTrafficShift}).lifecycle_event = "BeforeAllowTraffic";
  release.settle();
  release.answer(HookStatus::Succeeded);
  release.settle();
  EXPECT_EQ(release.deployment().hook_runs.size(), 1u);
  EXPECT_EQ(release.deployment().status, DeploymentStatus::Successful);
}

TEST(Hooks, ThatFailTakeTheDeploymentBackAlsoWhenItIsRolling) {
  for (auto strategy : {model::Strategy::Rolling, model::Strategy::BlueGreen}) {
    Release release(strategy);
    release.hook(model::HookTarget::Lambda, {Stage::PreScaleUp});
    release.settle();
    release.answer(HookStatus::Failed);
    release.run().reason = "exit code 3";
    release.settle();
    EXPECT_EQ(release.deployment().status, DeploymentStatus::RollbackSuccessful);
    EXPECT_NE(release.deployment().reason.find("exit code 3"), std::string::npos) << release.deployment().reason;
    EXPECT_EQ(release.snapshot.service.target.id, "old");
  }
}

TEST(Hooks, ThatFailStopAFirstDeployment) {
  Release release(model::Strategy::Rolling);
  release.deployment().source.reset();
  release.hook(model::HookTarget::Lambda, {Stage::PreScaleUp});
  release.snapshot.service.desired_count = 2;
  EXPECT_TRUE(std::ranges::none_of(release.step().actions, [](auto& action) { return std::holds_alternative<StartTask>(action); }));
  release.answer(HookStatus::Failed);
  release.settle();
  EXPECT_EQ(release.deployment().status, DeploymentStatus::Stopped);
}

TEST(Hooks, TimeOutIntoTheActionThatIsWanted) {
  for (auto action : {model::HookAction::Continue, model::HookAction::Rollback}) {
    Release release(model::Strategy::BlueGreen);
    auto& hook = release.hook(model::HookTarget::Pause, {Stage::PostScaleUp});
    hook.timeout = Seconds(7200);
    hook.timeout_action = action;
    release.settle();
    release.snapshot.now += Seconds(7199);
    release.settle();
    EXPECT_EQ(release.deployment().stage, Stage::PostScaleUp) << "the deadline of half an hour does not count what people take";
    EXPECT_EQ(release.step().wake, kNow + Seconds(7200));
    release.snapshot.now += Seconds(1);
    release.settle();
    EXPECT_EQ(release.deployment().hook_runs[0].status, HookStatus::TimedOut);
    EXPECT_EQ(release.deployment().status,
              action == model::HookAction::Continue ? DeploymentStatus::Successful : DeploymentStatus::RollbackSuccessful);
  }
}

TEST(Hooks, PausesAreShorterInARehearsal) {
  Release release(model::Strategy::BlueGreen);
  release.snapshot.time_scale = 60;
  release.hook(model::HookTarget::Pause, {Stage::PostScaleUp}).timeout = Seconds(600);
  release.hook(model::HookTarget::Lambda, {Stage::PostScaleUp}).timeout = Seconds(600);
  release.settle();
  EXPECT_EQ(release.deployment().hook_runs[0].expires_at, kNow + Seconds(10));
  EXPECT_EQ(release.deployment().hook_runs[1].expires_at, kNow + Seconds(600));
}

TEST(Hooks, OfTheShiftsAreCalledAgainOnTheWayBack) {
  Release release(model::Strategy::BlueGreen);
  release.hook(model::HookTarget::Lambda, {Stage::ProductionTrafficShift});
  release.settle();
  release.answer(HookStatus::Succeeded);
  release.deployment().configuration.bake_time = Seconds(600);
  release.settle();
  ASSERT_EQ(release.deployment().stage, Stage::BakeTime);
  release.deployment().status = DeploymentStatus::RollbackRequested;
  release.settle();
  EXPECT_EQ(release.deployment().production_weight, 0);
  ASSERT_EQ(release.deployment().hook_runs.size(), 2u);
  EXPECT_EQ(release.deployment().status, DeploymentStatus::RollbackInProgress);
  release.answer(HookStatus::Failed);
  release.settle();
  EXPECT_EQ(release.deployment().status, DeploymentStatus::RollbackSuccessful);
}

TEST(Alarms, ThatGoOffDuringADeploymentEndIt) {
  for (bool rollback : {true, false}) {
    Release release(model::Strategy::BlueGreen);
    release.deployment().configuration.bake_time = Seconds(600);
    release.deployment().configuration.alarms = {.names = {"errors"}, .enable = true, .rollback = rollback};
    release.settle();
    release.snapshot.alarms = {{.name = "errors", .state = "ALARM", .state_since = kNow - Seconds(1)}};
    release.settle();
    EXPECT_EQ(release.deployment().status, DeploymentStatus::InProgress) << "it was on before";
    release.snapshot.alarms[0].state_since = kNow + Seconds(1);
    release.settle();
    EXPECT_EQ(release.deployment().status, rollback ? DeploymentStatus::RollbackSuccessful : DeploymentStatus::Stopped);
    EXPECT_EQ(release.deployment().triggered_alarms, std::vector<std::string>{"errors"});
  }
}

TEST(Alarms, ThatDoNotExistAreNamedWhenADeploymentBegins) {
  Release release(model::Strategy::BlueGreen);
  release.deployment().status = DeploymentStatus::Pending;
  release.deployment().configuration.alarms = {.names = {"errors", "missing"}, .enable = true};
  release.snapshot.alarms = {{.name = "errors"}};
  std::string said;
  for (const auto& action : release.step().actions)
    if (auto* event = std::get_if<Event>(&action)) said += event->message;
  EXPECT_NE(said.find("the alarm missing does not exist"), std::string::npos) << said;
  EXPECT_EQ(said.find("errors"), std::string::npos) << said;
}

// A rolling deployment is whole before an alarm could have seen it: it waits for them, or for the bake time that was given.
TEST(Alarms, AreWaitedForByARollingDeployment) {
  struct Row {
    Seconds bake_time, waits;
  };
  for (const auto& [bake_time, waits] : {Row{Seconds(0), Seconds(60 * 4 + 3)}, Row{Seconds(600), Seconds(600)}}) {
    Release release(model::Strategy::Rolling);
    release.deployment().configuration.bake_time = bake_time;
    release.deployment().configuration.alarms = {.names = {"errors", "quick"}, .enable = true, .rollback = true};
    model::Alarm alarm{.name = "errors", .state = "OK", .metric = {"Shop", "Errors", {}}, .evaluation_periods = 3}, quick{.name = "quick", .state = "OK"};
    release.snapshot.alarms = {alarm, quick};
    release.settle();
    EXPECT_EQ(release.deployment().stage, Stage::BakeTime);
    EXPECT_EQ(release.step().wake, kNow + waits);
    release.snapshot.now = kNow + waits - Millis(1);
    release.settle();
    EXPECT_EQ(release.deployment().status, DeploymentStatus::InProgress);
    auto goes_off = release;
    release.snapshot.now = kNow + waits;
    release.settle();
    EXPECT_EQ(release.deployment().status, DeploymentStatus::Successful);
    goes_off.snapshot.alarms[0].state = "ALARM";
    goes_off.snapshot.alarms[0].state_since = goes_off.snapshot.now;
    goes_off.settle();
    EXPECT_EQ(goes_off.deployment().status, DeploymentStatus::RollbackSuccessful);
  }
}

TEST(Bake, CanBeSkippedAndTheSourceBeKept) {
  Release release(model::Strategy::BlueGreen);
  release.deployment().configuration.bake_time = Seconds(600);
  auto& code = release.deployment().code_deploy.emplace();
  code.keep_blue = true;
  release.snapshot.service.desired_count = 1;
  for (auto revision : {"old", "new"}) {
    model::Task task{.id = revision, .service_revision = revision};
    task.status.state = model::TaskState::Running;
    task.status.started_at = task.healthy_at = kNow - Seconds(100);
    release.snapshot.tasks.push_back(task);
  }
  release.settle();
  EXPECT_EQ(release.deployment().stage, Stage::BakeTime);
  release.deployment().code_deploy->skip_termination_wait = true;
  std::vector<Action> actions;
  for (int i = 0; i < 5; ++i) std::ranges::copy(release.step().actions, std::back_inserter(actions));
  EXPECT_EQ(release.deployment().status, DeploymentStatus::Successful);
  EXPECT_TRUE(std::ranges::none_of(actions, [](auto& action) { return std::holds_alternative<StopTask>(action); }));
}

TEST(CircuitBreaker, ForgivesWhenATaskStaysHealthy) {
  for (bool forgives : {true, false}) {
    Release release(model::Strategy::Rolling);
    release.snapshot.service.desired_count = 2;
    release.deployment().configuration.circuit_breaker = true;
    release.deployment().configuration.reset_on_healthy_task = forgives;
    release.deployment().stage = Stage::ScaleUp;
    release.deployment().failed_tasks = 2;
    model::Task task{.id = "a", .deployment = "ecs-svc/1", .service_revision = "new"};
    task.status.state = model::TaskState::Running;
    task.status.started_at = task.healthy_at = kNow;
    release.snapshot.tasks.push_back(task);
    release.snapshot.now += Seconds(59);
    release.step();
    EXPECT_EQ(release.deployment().failed_tasks, 2);
    release.snapshot.now += Seconds(1);
    release.step();
    EXPECT_EQ(release.deployment().failed_tasks, forgives ? 0 : 2);
  }
}

}  // namespace
}  // namespace watari::plan
