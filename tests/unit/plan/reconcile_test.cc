#include "plan/reconcile.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace watari::plan {
namespace {

using model::DeploymentStatus;
using model::TaskState;

const Time kNow{Seconds(1'000'000)};

template <class T>
std::vector<T> all(const Plan& plan) {
  std::vector<T> out;
  for (const auto& action : plan.actions)
    if (auto* value = std::get_if<T>(&action)) out.push_back(*value);
  return out;
}

// A load-balanced service of two tasks: revision "old" is completed, a deployment leads to "new".
struct Scene {
  Scene() {
    snapshot.now = kNow;
    auto& service = snapshot.service;
    service.name = "web";
    service.desired_count = 2;
    service.target = revision("new", 2);
    service.completed = revision("old", 1);
    model::Deployment deployment;
    deployment.id = "ecs-svc/1";
    deployment.target = service.target;
    deployment.source = service.completed;
    deployment.status = DeploymentStatus::InProgress;
    deployment.started_at = deployment.created_at = kNow;
    deployment.failure_threshold = 3;
    deployment.stage = model::Stage::ScaleUp;
    snapshot.deployments.push_back(deployment);
    snapshot.deregistration_delays["tg"] = Seconds(30);
  }

  static model::ServiceRevision revision(const std::string& id, int number) {
    model::ServiceRevision out{.id = id, .family = "web", .revision = number};
    out.load_balancers.push_back({.target_group = "tg", .container = "app", .container_port = 80});
    out.target_groups = {"tg"};
    return out;
  }

  model::Task& add(const std::string& id, const std::string& revision_id, TaskState state, model::TargetState health) {
    model::Task task;
    task.id = task.address = id;
    task.service_revision = revision_id;
    task.deployment = revision_id == "new" ? "ecs-svc/1" : "ecs-svc/0";
    task.family = "web";
    task.revision = revision_id == "new" ? 2 : 1;
    task.created_at = kNow - Seconds(100);
    task.status.state = state;
    task.status.started_at = kNow - Seconds(90);
    if (health == model::TargetState::Healthy) task.healthy_at = kNow - Seconds(80);
    if (state == TaskState::Running) {
      snapshot.targets.push_back({"tg", id, 80, {}, kNow});
      snapshot.health.push_back({"tg", id, 80, health, "", "HTTP status 503 after 4 ms: no", 0});
    }
    snapshot.tasks.push_back(task);
    return snapshot.tasks.back();
  }
  model::Task& healthy(const std::string& id, const std::string& revision_id) {
    return add(id, revision_id, TaskState::Running, model::TargetState::Healthy);
  }

  model::Deployment& deployment() { return snapshot.deployments.back(); }
  ServiceSnapshot snapshot;
};

TEST(Reconcile, StartsNewTasksBeforeItStopsOldOnes) {
  Scene scene;
  scene.healthy("a", "old");
  scene.healthy("b", "old");
  auto plan = reconcile(scene.snapshot);
  EXPECT_EQ(all<StartTask>(plan).size(), 2u);
  EXPECT_EQ(all<StartTask>(plan)[0].revision, "new");
  EXPECT_TRUE(all<StopTask>(plan).empty());
}

TEST(Reconcile, KeepsOldTasksUntilNewOnesAreHealthy) {
  Scene scene;
  scene.healthy("a", "old");
  scene.healthy("b", "old");
  scene.add("c", "new", TaskState::Running, model::TargetState::Initial);
  scene.add("d", "new", TaskState::Pending, model::TargetState::Initial);
  EXPECT_TRUE(all<StopTask>(reconcile(scene.snapshot)).empty());
  scene.snapshot.health[2].state = model::TargetState::Healthy;
  EXPECT_EQ(all<StopTask>(reconcile(scene.snapshot)).size(), 1u);
}

TEST(Reconcile, CompletesWhenOnlyHealthyNewTasksAreLeft) {
  Scene scene;
  scene.healthy("c", "new");
  scene.healthy("d", "new");
  auto plan = reconcile(scene.snapshot);
  ASSERT_EQ(all<PutDeployment>(plan).size(), 1u);
  EXPECT_EQ(all<PutDeployment>(plan)[0].deployment.status, DeploymentStatus::Successful);
  EXPECT_EQ(all<PutService>(plan)[0].service.completed->id, "new");
}

TEST(Reconcile, CompletesOnlyWhenNoRequestReachesTheOldRevisionAnyMore) {
  Scene scene;
  scene.healthy("c", "new");
  scene.healthy("d", "new");
  auto& old = scene.healthy("a", "old");
  old.desired_stopped = true;
  old.status.state = TaskState::Deactivating;
  EXPECT_TRUE(all<PutDeployment>(reconcile(scene.snapshot)).empty());
  scene.snapshot.targets.back().draining_until = kNow + Seconds(30);
  scene.snapshot.settled = false;
  EXPECT_TRUE(all<PutDeployment>(reconcile(scene.snapshot)).empty());
  scene.snapshot.settled = true;
  EXPECT_EQ(all<PutDeployment>(reconcile(scene.snapshot)).size(), 1u);
}

TEST(Reconcile, StopsFirstWhenThereIsNoRoomForASecondCopy) {
  Scene scene;
  scene.snapshot.service.desired_count = 1;
  scene.snapshot.service.configuration.minimum_healthy_percent = 0;
  scene.snapshot.service.configuration.maximum_percent = 100;
  auto& old = scene.healthy("a", "old");
  auto plan = reconcile(scene.snapshot);
  EXPECT_EQ(all<StopTask>(plan).size(), 1u);
  EXPECT_TRUE(all<StartTask>(plan).empty());
  old.desired_stopped = true;
  old.status.state = TaskState::Stopping;
  EXPECT_TRUE(all<StartTask>(reconcile(scene.snapshot)).empty()) << "the first copy is still there";
  old.status.state = TaskState::Stopped;
  EXPECT_EQ(all<StartTask>(reconcile(scene.snapshot)).size(), 1u);
}

TEST(Reconcile, TakesATaskOutOfItsTargetGroupsBeforeItStops) {
  Scene scene;
  auto& task = scene.healthy("a", "new");
  task.desired_stopped = true;
  task.status.state = TaskState::Deactivating;
  auto plan = reconcile(scene.snapshot);
  ASSERT_EQ(all<DeregisterTarget>(plan).size(), 1u);
  EXPECT_EQ(all<DeregisterTarget>(plan)[0].draining_until, kNow + Seconds(30));
  EXPECT_TRUE(all<RemoveTarget>(plan).empty());

  auto& target = scene.snapshot.targets[0];
  auto& health = scene.snapshot.health[0];
  target.draining_until = kNow + Seconds(30);
  EXPECT_TRUE(all<RemoveTarget>(reconcile(scene.snapshot)).empty()) << "the balancer has not said that it drains";
  health.state = model::TargetState::Draining;
  health.in_flight = 1;
  EXPECT_TRUE(all<RemoveTarget>(reconcile(scene.snapshot)).empty()) << "a request is in flight";
  health.in_flight = 0;
  scene.snapshot.fresh = false;
  EXPECT_TRUE(all<RemoveTarget>(reconcile(scene.snapshot)).empty()) << "what is known may be from before";
  scene.snapshot.fresh = true;
  EXPECT_EQ(all<RemoveTarget>(reconcile(scene.snapshot)).size(), 1u);
  health.in_flight = 1;
  scene.snapshot.now += Seconds(30);
  EXPECT_EQ(all<RemoveTarget>(reconcile(scene.snapshot)).size(), 1u) << "the delay is over";
}

TEST(Reconcile, CountsTasksThatRanAndCrashed) {
  Scene scene;
  scene.deployment().configuration.circuit_breaker = true;
  scene.deployment().failed_tasks = 2;
  auto& task = scene.healthy("c", "new");
  task.status.state = TaskState::Stopped;
  task.status.stop_reason = "Essential container in task exited";
  task.status.containers.push_back({.name = "app", .state = model::ContainerState::Stopped, .exit_code = 3});
  auto plan = reconcile(scene.snapshot);
  EXPECT_EQ(all<MarkAccounted>(plan).size(), 1u);
  auto deployment = all<PutDeployment>(plan).at(0).deployment;
  EXPECT_EQ(deployment.failed_tasks, 3);
  EXPECT_EQ(deployment.status, DeploymentStatus::Stopped);
  EXPECT_NE(deployment.reason.find("container app exited with code 3"), std::string::npos) << deployment.reason;
}

TEST(Reconcile, NamesTheLastProbeOfATaskThatNeverBecameHealthy) {
  Scene scene;
  scene.healthy("a", "old");
  scene.healthy("b", "old");
  scene.add("c", "new", TaskState::Running, model::TargetState::Unhealthy);
  auto plan = reconcile(scene.snapshot);
  ASSERT_EQ(all<StopTask>(plan).size(), 1u);
  EXPECT_EQ(all<StopTask>(plan)[0].task, "c");
  EXPECT_NE(all<StopTask>(plan)[0].reason.find("HTTP status 503"), std::string::npos);
  EXPECT_EQ(all<PutDeployment>(plan).at(0).deployment.failed_tasks, 1);
}

TEST(Reconcile, GivesATaskItsGracePeriod) {
  Scene scene;
  scene.snapshot.service.health_check_grace_period = Seconds(100);
  scene.add("c", "new", TaskState::Running, model::TargetState::Unhealthy);
  auto plan = reconcile(scene.snapshot);
  EXPECT_TRUE(all<StopTask>(plan).empty());
  ASSERT_TRUE(plan.wake);
  EXPECT_LE(*plan.wake, kNow + Seconds(10));
}

TEST(Reconcile, ReplacesAnUnhealthyTaskBeforeItStopsIt) {
  Scene scene;
  scene.deployment().status = DeploymentStatus::Successful;
  scene.snapshot.service.completed = scene.snapshot.service.target;
  scene.healthy("c", "new");
  auto& sick = scene.add("d", "new", TaskState::Running, model::TargetState::Unhealthy);
  sick.healthy_at = kNow - Seconds(50);
  auto plan = reconcile(scene.snapshot);
  EXPECT_TRUE(all<StopTask>(plan).empty());
  EXPECT_EQ(all<StartTask>(plan).size(), 1u);
  scene.healthy("e", "new");
  plan = reconcile(scene.snapshot);
  ASSERT_EQ(all<StopTask>(plan).size(), 1u);
  EXPECT_EQ(all<StopTask>(plan)[0].task, "d");
}

TEST(Reconcile, WaitsLongerAfterEachFailure) {
  Scene scene;
  scene.snapshot.service.back_off["new"] = {.failures = 3, .start_after = kNow + Seconds(2)};
  auto plan = reconcile(scene.snapshot);
  EXPECT_TRUE(std::ranges::none_of(all<StartTask>(plan), [](auto& start) { return start.revision == "new"; }));
  EXPECT_EQ(plan.wake, kNow + Seconds(2));
}

TEST(Reconcile, FailsADeploymentAtItsDeadline) {
  Scene scene;
  scene.healthy("a", "old");
  scene.healthy("b", "old");
  scene.deployment().configuration.circuit_breaker_rollback = true;
  scene.deployment().timeout = Seconds(60);
  scene.snapshot.now = kNow + Seconds(60);
  auto plan = reconcile(scene.snapshot);
  EXPECT_EQ(all<PutDeployment>(plan).at(0).deployment.status, DeploymentStatus::RollbackSuccessful);
  EXPECT_EQ(all<PutService>(plan).at(0).service.target.id, "old");
  EXPECT_TRUE(all<StopTask>(plan).empty());
}

TEST(Reconcile, StartsGreenBesideBlueAndShiftsInOneStep) {
  Scene scene;
  auto& deployment = scene.deployment();
  deployment.verdict.enabled = false;
  deployment.configuration.strategy = model::Strategy::BlueGreen;
  for (auto* revision : {&deployment.target, &*deployment.source}) {
    revision->load_balancers[0].alternate_target_group = "tg2";
    revision->load_balancers[0].production_listener_rule = "rule";
  }
  deployment.target.target_groups = {"tg2"};
  scene.snapshot.service.target = deployment.target;
  scene.snapshot.service.completed = deployment.source;
  scene.snapshot.weights["rule"] = {{"tg", 100}, {"tg2", 0}};
  scene.healthy("a", "old");
  scene.healthy("b", "old");
  deployment.stage = model::Stage::ScaleUp;
  EXPECT_EQ(all<StartTask>(reconcile(scene.snapshot)).size(), 2u);

  for (auto id : {"c", "d"}) {
    scene.healthy(id, "new");
    scene.snapshot.targets.back().target_group = scene.snapshot.health.back().target_group = "tg2";
  }
  auto plan = reconcile(scene.snapshot);
  EXPECT_EQ(all<PutDeployment>(plan).at(0).deployment.stage, model::Stage::PostScaleUp);
  deployment.stage = model::Stage::PreProductionTrafficShift;
  plan = reconcile(scene.snapshot);
  EXPECT_EQ(all<PutDeployment>(plan).at(0).deployment.stage, model::Stage::ProductionTrafficShift);
  ASSERT_EQ(all<SetWeights>(plan).size(), 1u);
  EXPECT_EQ(all<SetWeights>(plan)[0].weights[1].weight, 100);
  EXPECT_TRUE(all<StopTask>(plan).empty());

  // Not before the balancer has made it real does the next stage begin.
  deployment.stage = model::Stage::ProductionTrafficShift;
  deployment.production_weight = 100;
  scene.snapshot.weights["rule"] = {{"tg", 0}, {"tg2", 100}};
  scene.snapshot.settled = false;
  EXPECT_TRUE(all<PutDeployment>(reconcile(scene.snapshot)).empty());
  scene.snapshot.settled = true;
  EXPECT_EQ(all<PutDeployment>(reconcile(scene.snapshot)).at(0).deployment.stage, model::Stage::PostProductionTrafficShift);
}

TEST(Reconcile, TakesTrafficBackBeforeARollingDeploymentStopsWhatAShiftHasLeft) {
  Scene scene;
  auto& deployment = scene.deployment();
  model::Deployment ended = deployment;  // a canary that was superseded half-way
  ended.id = "ecs-svc/0";
  ended.status = DeploymentStatus::Stopped;
  ended.target.id = "half";
  ended.target.target_groups = {"tg2"};
  scene.snapshot.deployments.insert(scene.snapshot.deployments.begin(), ended);
  for (auto& one : scene.snapshot.deployments)
    for (auto* revision : {&one.target, &*one.source}) {
      revision->load_balancers[0].alternate_target_group = "tg2";
      revision->load_balancers[0].production_listener_rule = "rule";
    }
  scene.snapshot.service.target = scene.deployment().target;
  scene.snapshot.service.completed = scene.deployment().source;
  scene.snapshot.weights["rule"] = {{"tg", 50}, {"tg2", 50}};
  for (auto id : {"a", "b"}) scene.healthy(id, "old");
  for (auto id : {"c", "d"}) {
    scene.healthy(id, "half");
    scene.snapshot.targets.back().target_group = scene.snapshot.health.back().target_group = "tg2";
  }
  auto plan = reconcile(scene.snapshot);
  ASSERT_EQ(all<SetWeights>(plan).size(), 1u);
  EXPECT_EQ(all<SetWeights>(plan)[0].weights[0].weight, 100);
  EXPECT_TRUE(all<StopTask>(plan).empty() && all<DeregisterTarget>(plan).empty());

  scene.snapshot.weights["rule"] = {{"tg", 100}, {"tg2", 0}};
  scene.snapshot.settled = false;
  plan = reconcile(scene.snapshot);
  EXPECT_TRUE(all<StopTask>(plan).empty() && all<SetWeights>(plan).empty());
  scene.snapshot.settled = true;
  std::vector<std::string> stopped;
  for (const auto& stop : all<StopTask>(reconcile(scene.snapshot))) stopped.push_back(stop.task);
  std::ranges::sort(stopped);
  EXPECT_EQ(stopped, (std::vector<std::string>{"c", "d"}));
}

// "old" serves in tg and "new" in its alternate tg2, behind one rule.
struct ShiftScene : Scene {
  ShiftScene() {
    auto& shift = deployment();
    shift.configuration.strategy = model::Strategy::BlueGreen;
    for (auto* revision : {&shift.target, &*shift.source}) {
      revision->load_balancers[0].alternate_target_group = "tg2";
      revision->load_balancers[0].production_listener_rule = "rule";
    }
    shift.target.target_groups = {"tg2"};
    snapshot.service.target = shift.target;
    snapshot.service.completed = shift.source;
    snapshot.weights["rule"] = {{"tg", 0}, {"tg2", 100}};
    shift.stage = model::Stage::BakeTime;
    shift.stage_since = kNow;
    shift.configuration.bake_time = Seconds(600);
    shift.production_weight = 100;
  }
};

TEST(Reconcile, EndsAShiftWhoseListenerRuleWasDeletedAndGoesBackWithoutIt) {
  ShiftScene scene;
  for (auto id : {"a", "b"}) scene.healthy(id, "old");
  for (auto id : {"c", "d"}) scene.healthy(id, "new");
  scene.snapshot.weights.clear();
  auto plan = reconcile(scene.snapshot);
  ASSERT_EQ(all<PutDeployment>(plan).size(), 1u);
  scene.deployment() = all<PutDeployment>(plan)[0].deployment;
  EXPECT_EQ(scene.deployment().status, DeploymentStatus::RollbackInProgress);
  EXPECT_NE(scene.deployment().reason.find("listener rule rule does not exist"), std::string::npos) << scene.deployment().reason;
  scene.snapshot.service = all<PutService>(plan).at(0).service;
  plan = reconcile(scene.snapshot);
  EXPECT_TRUE(all<SetWeights>(plan).empty());
  EXPECT_EQ(all<PutDeployment>(plan).at(0).deployment.status, DeploymentStatus::RollbackSuccessful);
}

TEST(Reconcile, GoesOnWithAShiftThatWasScaledToNothingAndBack) {
  ShiftScene scene;
  auto taken_back = [&] {
    return std::ranges::any_of(all<PutDeployment>(reconcile(scene.snapshot)),
                               [](const auto& put) { return put.deployment.status != DeploymentStatus::InProgress; });
  };
  EXPECT_EQ(all<StartTask>(reconcile(scene.snapshot)).size(), 4u);  // both revisions start again
  EXPECT_FALSE(taken_back());
  for (auto id : {"a", "b"}) scene.healthy(id, "old");
  for (auto id : {"c", "d"}) scene.add(id, "new", TaskState::Pending, model::TargetState::Initial);
  EXPECT_FALSE(taken_back());
  scene.deployment().failed_tasks = 1;  // the new ones do not start any more: the old revision works
  EXPECT_TRUE(taken_back());
}

TEST(Reconcile, TakesAShiftBackWhoseOnlyTaskWasStoppedByHand) {
  ShiftScene scene;
  scene.snapshot.service.desired_count = 1;
  scene.healthy("a", "old");
  scene.healthy("b", "new").desired_stopped = true;
  EXPECT_EQ(all<PutDeployment>(reconcile(scene.snapshot)).at(0).deployment.status, DeploymentStatus::RollbackInProgress);
}

TEST(Reconcile, SaysOnceThatItsPercentagesBlockARollingDeployment) {
  Scene scene;
  scene.snapshot.service.desired_count = 1;
  scene.snapshot.service.configuration.minimum_healthy_percent = 60;
  scene.snapshot.service.configuration.maximum_percent = 150;
  scene.healthy("a", "old");
  auto plan = reconcile(scene.snapshot);
  ASSERT_EQ(all<Event>(plan).size(), 1u);
  EXPECT_NE(all<Event>(plan)[0].message.find("unable to stop or start tasks during a deployment"), std::string::npos);
  scene.snapshot.service.events.push_back({"id", kNow, all<Event>(plan)[0].message});
  EXPECT_TRUE(all<Event>(reconcile(scene.snapshot)).empty());

  scene.snapshot.service.configuration.maximum_percent = 200;
  scene.snapshot.service.events.clear();
  EXPECT_TRUE(all<Event>(reconcile(scene.snapshot)).empty());
}

TEST(FailureThreshold, IsHalfTheDesiredCountWithinBoundsUnlessToldOtherwise) {
  model::DeploymentConfiguration configuration;
  EXPECT_EQ(failure_threshold(configuration, 1), 3);
  EXPECT_EQ(failure_threshold(configuration, 20), 10);
  EXPECT_EQ(failure_threshold(configuration, 5000), 200);
  configuration.threshold = model::Threshold::UnboundedPercent;
  EXPECT_EQ(failure_threshold(configuration, 1), 1);
  EXPECT_EQ(failure_threshold(configuration, 5000), 2500);
  configuration.threshold = model::Threshold::Count;
  configuration.threshold_value = 7;
  EXPECT_EQ(failure_threshold(configuration, 5000), 7);
}

}  // namespace
}  // namespace watari::plan
