// Thousands of schedules of deployments, scalings, failures and kills. Safety is checked by the world at every order (world.cc);
// liveness here: once the faults stop, the service arrives where it should be. WATARI_SIM_SEED repeats one schedule,
// WATARI_SIM_RUNS says how many.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "control/services.h"
#include "world.h"

namespace watari::sim {
namespace {

int runs(int usual) {
  auto* text = std::getenv("WATARI_SIM_RUNS");
  return text ? std::atoi(text) : usual;
}

std::vector<std::uint32_t> seeds(std::uint32_t base, int usual) {
  if (auto* text = std::getenv("WATARI_SIM_SEED")) return {static_cast<std::uint32_t>(std::atol(text))};
  std::vector<std::uint32_t> out;
  for (int i = 0; i < runs(usual); ++i) out.push_back(base + static_cast<std::uint32_t>(i));
  return out;
}

void expect_no_complaints(World& world, std::uint32_t seed) {
  EXPECT_TRUE(world.complaints.empty()) << "seed " << seed << ": " << (world.complaints.empty() ? "" : world.complaints[0]) << "\n"
                                        << world.story();
}

// Where a calm world has to end: the wanted number of healthy tasks of the revision that should run, and nothing else.
void expect_arrived(World& world, std::uint32_t seed) {
  auto service = world.service();
  auto deployments = world.deployments();
  std::string where = "seed " + std::to_string(seed) + "\n" + world.story();
  for (const auto& deployment : deployments) {
    where += fmt::format("{} to {} {}: {}", deployment.id, deployment.target.id, name_of(deployment.status), deployment.reason);
    for (const auto& run : deployment.hook_runs) where += fmt::format(" [{} {} {}]", name_of(run.stage), name_of(run.status), run.reason);
    where += "\n";
  }
  ASSERT_FALSE(deployments.empty());
  EXPECT_FALSE(control::in_progress(deployments.back().status)) << name_of(deployments.back().status) << " " << where;
  bool good = world.behaviour_of(service.target.revision) == Behaviour::Good;
  bool way_back = service.completed && world.behaviour_of(service.completed->revision) == Behaviour::Good;
  if (!good && !way_back) return;  // nothing good to return to
  if (deployments.back().status == model::DeploymentStatus::Stopped && !service.completed) return;  // its hooks did not let it
  auto tasks = world.live_tasks();
  EXPECT_EQ(static_cast<int>(tasks.size()), service.desired_count) << where;
  for (const auto& task : tasks) {
    EXPECT_EQ(task.status.state, model::TaskState::Running) << where;
    EXPECT_TRUE(task.healthy_at) << where;
  }
  if (good) {
    for (const auto& task : tasks) EXPECT_EQ(task.service_revision, service.target.id) << where;
  }
  EXPECT_EQ(world.engine.tasks.size(), tasks.size()) << where;
  EXPECT_EQ(world.state().network_interfaces.size(), tasks.size()) << where;
  EXPECT_EQ(world.state().targets.size(), world.setup.load_balanced ? tasks.size() : 0u) << where;
  if (service.desired_count > 0 && world.setup.load_balanced)
    EXPECT_EQ(world.balancer.serving(world.balancer.effective), service.desired_count) << where;
}

// At 150 % of one task there is no room for a second, and half of one task is one that may not stop: ECS gets stuck there, too.
int fewest(const model::DeploymentConfiguration& limits) {
  return limits.maximum_percent == 150 || (limits.minimum_healthy_percent == 50 && limits.maximum_percent == 100) ? 2 : 1;
}

Scenario random_setup(std::mt19937& random) {
  Scenario setup;
  auto pick = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  setup.desired = 1 + pick(4);
  setup.health_check = pick(2);
  auto& configuration = setup.configuration;
  configuration.circuit_breaker = true;
  configuration.circuit_breaker_rollback = true;
  configuration.bake_time = Seconds(pick(3) * 60);
  constexpr model::Strategy strategies[] = {model::Strategy::Rolling, model::Strategy::Rolling, model::Strategy::BlueGreen,
                                            model::Strategy::Canary, model::Strategy::Linear};
  configuration.strategy = strategies[pick(5)];
  if (configuration.strategy == model::Strategy::Rolling) {
    setup.load_balanced = pick(4) != 0;
    constexpr std::pair<int, int> limits[] = {{100, 200}, {100, 150}, {50, 200}, {50, 100}, {0, 100}, {0, 200}};
    std::tie(configuration.minimum_healthy_percent, configuration.maximum_percent) = limits[pick(6)];
    setup.desired = std::max(setup.desired, fewest(configuration));
  }
  if (!setup.load_balanced) setup.health_check = true;
  return setup;
}

// Hooks of every kind at random stages, and an alarm.
void add_hooks(Scenario& setup, std::mt19937& random) {
  auto pick = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  bool rolling = setup.configuration.strategy == model::Strategy::Rolling;
  using enum model::Stage;
  static constexpr model::Stage shifting[] = {PreScaleUp, PostScaleUp, PostTestTrafficShift, PreProductionTrafficShift,
                                              PostProductionTrafficShift, TestTrafficShift, ProductionTrafficShift, ReconcileService};
  for (int i = pick(4); i > 0; --i) {
    model::LifecycleHook hook;
    int kind = pick(3);
    hook.target = kind == 0 ? model::HookTarget::Pause : model::HookTarget::Lambda;
    hook.target_arn = kind == 0 ? "" : kind == 1 ? kMigrate : kHook;
    hook.stages = {rolling ? shifting[pick(2)] : shifting[pick(kind == 0 ? 5 : 8)]};
    hook.timeout = Seconds(60 + pick(900));
    hook.timeout_action = pick(2) ? model::HookAction::Continue : model::HookAction::Rollback;
    setup.configuration.hooks.push_back(hook);
  }
  setup.configuration.alarms = {.names = {kAlarm}, .enable = true, .rollback = true};
}

int some_count(World& world) { return fewest(world.setup.configuration) + world.random(5); }

TEST(Rolling, ReplacesOldTasksByNewOnes) {
  World world(1, {.desired = 3, .kills = false});
  world.run_for(Seconds(60));
  EXPECT_EQ(world.deployments().back().status, model::DeploymentStatus::Successful) << world.story();
  world.update(world.register_revision(Behaviour::Good));
  world.run_for(Seconds(120));
  expect_no_complaints(world, 1);
  expect_arrived(world, 1);
  EXPECT_EQ(world.service().target.revision, 2);
  EXPECT_EQ(world.deployments().back().status, model::DeploymentStatus::Successful);
  EXPECT_TRUE(world.service().events.front().message.ends_with("has reached a steady state."));
}

TEST(Rolling, ReturnsToTheOldRevisionWhenTheNewOneFails) {
  for (auto behaviour : {Behaviour::FailsToStart, Behaviour::ExitsAtOnce, Behaviour::NeverHealthy, Behaviour::MissingImage}) {
    Scenario setup{.desired = 2, .kills = false};
    setup.configuration.circuit_breaker = setup.configuration.circuit_breaker_rollback = true;
    World world(2, setup);
    world.run_for(Seconds(60));
    world.update(world.register_revision(behaviour));
    world.run_for(Seconds(600));
    expect_no_complaints(world, 2);
    expect_arrived(world, 2);
    EXPECT_EQ(world.service().target.revision, 1);
    auto failed = world.deployments().back();
    EXPECT_EQ(failed.status, model::DeploymentStatus::RollbackSuccessful) << world.story();
    EXPECT_FALSE(failed.rollback_id.empty());
    EXPECT_NE(failed.reason.find("task "), std::string::npos) << failed.reason;
  }
}

TEST(Rolling, KeepsTheOldRevisionWhenThereIsNoRollback) {
  Scenario setup{.desired = 2, .kills = false};
  setup.configuration.circuit_breaker = true;
  World world(3, setup);
  world.run_for(Seconds(60));
  world.update(world.register_revision(Behaviour::ExitsAtOnce));
  world.run_for(Seconds(600));
  expect_no_complaints(world, 3);
  EXPECT_EQ(world.deployments().back().status, model::DeploymentStatus::Stopped);
  EXPECT_EQ(world.balancer.serving(world.balancer.effective), 2) << world.story();
}

TEST(BlueGreen, SwitchesInOneStepAndKeepsBlueUntilGreenIsBaked) {
  Scenario setup{.desired = 2, .kills = false};
  setup.configuration.strategy = model::Strategy::BlueGreen;
  setup.configuration.bake_time = Seconds(300);
  World world(4, setup);
  world.run_for(Seconds(400));
  ASSERT_EQ(world.deployments().back().status, model::DeploymentStatus::Successful) << world.story();
  world.update(world.register_revision(Behaviour::Good));
  world.run_for(Seconds(100));
  EXPECT_EQ(world.deployments().back().stage, model::Stage::BakeTime) << world.story();
  EXPECT_EQ(world.live_tasks().size(), 4u);
  world.run_for(Seconds(400));
  expect_no_complaints(world, 4);
  expect_arrived(world, 4);
  world.update(world.register_revision(Behaviour::Good));
  world.run_for(Seconds(600));
  expect_no_complaints(world, 4);
  expect_arrived(world, 4);
  EXPECT_EQ(world.service().target.revision, 3);
}

// Whatever is deployed, however often the control plane dies: nothing is stopped too early, and it arrives.
TEST(Schedules, NeverStopServingAndArrive) {
  for (auto seed : seeds(1000, 300)) {
    std::mt19937 random(seed);
    World world(seed, random_setup(random));
    world.run_for(Seconds(900));
    for (int i = 0; i < 4; ++i) {
      static constexpr Behaviour behaviours[] = {Behaviour::Good, Behaviour::Good, Behaviour::FailsToStart, Behaviour::ExitsAtOnce,
                                          Behaviour::NeverHealthy, Behaviour::MissingImage};
      switch (world.random(6)) {
        case 4: world.stop_newest(false); break;
        case 5: world.stop_newest(true); break;
        case 0: world.scale(some_count(world)); break;
        case 1: world.update(world.service().target.revision, true); break;
        default: world.update(world.register_revision(behaviours[world.random(6)]));
      }
      world.run_for(Millis(world.random(world.chance(50) ? 20'000 : 900'000)));
    }
    world.faults = false;
    world.run_for(Seconds(1800));
    // What was stopped as it stands stays so until the next deployment.
    if (world.deployments().back().status == model::DeploymentStatus::Stopped) world.update(world.register_revision(Behaviour::Good));
    world.run_for(std::chrono::hours(4));
    expect_no_complaints(world, seed);
    expect_arrived(world, seed);
    if (::testing::Test::HasFailure()) return;
  }
}

// With tasks that crash at random and are stopped by people: serving cannot be promised, arriving can.
TEST(Schedules, ArriveAlsoWhenGoodTasksCrash) {
  for (auto seed : seeds(500'000, 200)) {
    std::mt19937 random(seed);
    auto setup = random_setup(random);
    setup.crashes = true;
    World world(seed, setup);
    world.run_for(Seconds(900));
    for (int i = 0; i < 5; ++i) {
      static constexpr Behaviour behaviours[] = {Behaviour::Good, Behaviour::Good, Behaviour::CrashesLater, Behaviour::ExitsAtOnce};
      switch (world.random(5)) {
        case 0: world.scale(world.chance(15) ? 0 : some_count(world)); break;
        case 1: world.stop_some_task(); break;
        case 2: world.update(world.service().target.revision, true); break;
        default: world.update(world.register_revision(behaviours[world.random(4)]));
      }
      world.run_for(Millis(world.random(world.chance(50) ? 20'000 : 900'000)));
    }
    world.faults = false;
    world.update(world.register_revision(Behaviour::Good));
    world.run_for(std::chrono::hours(4));
    expect_no_complaints(world, seed);
    expect_arrived(world, seed);
    if (::testing::Test::HasFailure()) return;
  }
}

// Hooks that fail, hang and pause, alarms, people who go on and back: traffic never suffers, a hook's task runs once, and it arrives.
TEST(Schedules, NeverStopServingAndArriveWithHooks) {
  for (auto seed : seeds(2'000'000, 300)) {
    std::mt19937 random(seed);
    auto setup = random_setup(random);
    add_hooks(setup, random);
    World world(seed, setup);
    world.run_for(Seconds(900));
    for (int i = 0; i < 6; ++i) {
      switch (world.random(7)) {
        case 0: world.scale(some_count(world)); break;
        case 1:
          if (world.chance(50)) world.set_alarm(world.chance(50));
          else world.count_errors(world.random(40));
          break;
        case 2:
        case 3: world.continue_deployment(world.chance(70) ? model::HookAction::Continue : model::HookAction::Rollback); break;
        default: world.update(world.register_revision(world.chance(70) ? Behaviour::Good : Behaviour::NeverHealthy));
      }
      world.run_for(Millis(world.random(world.chance(50) ? 20'000 : 900'000)));
    }
    world.faults = false;
    world.run_for(std::chrono::hours(6));
    world.check_migrations();
    for (const auto& deployment : world.deployments())
      if (deployment.status == model::DeploymentStatus::Successful)
        EXPECT_EQ(world.behaviour_of(deployment.target.revision), Behaviour::Good) << "seed " << seed << ": what was never healthy is no success\n" << world.story();
    expect_no_complaints(world, seed);
    expect_arrived(world, seed);
    if (::testing::Test::HasFailure()) return;
  }
}

// Deployments that wait for each other, and people who stop those that wait and those that run, through either API: one at a time, none
// that was stopped before its turn ever runs, and the last good one is what stays.
TEST(Schedules, NeverStopServingAndArriveWithQueues) {
  for (auto seed : seeds(3'000'000, 200)) {
    std::mt19937 random(seed);
    auto setup = random_setup(random);
    constexpr model::Strategy strategies[] = {model::Strategy::BlueGreen, model::Strategy::Canary, model::Strategy::Linear};
    setup.configuration.strategy = strategies[random() % 3];
    setup.configuration.canary_bake_time = setup.configuration.linear_step_bake_time = Seconds(60);
    setup.load_balanced = setup.queued = true;
    setup.configuration.alarms = {.names = {kAlarm}, .enable = true, .rollback = true};
    World world(seed, setup);
    world.run_for(Seconds(900));
    for (int i = 0; i < 8; ++i) {
      switch (world.random(8)) {
        case 0: world.scale(some_count(world)); break;
        case 1: world.count_errors(world.random(40)); break;
        case 2:
        case 3: world.stop_some_deployment(); break;
        default: world.deploy(world.register_revision(world.chance(70) ? Behaviour::Good : Behaviour::NeverHealthy));
      }
      world.run_for(Millis(world.random(world.chance(60) ? 20'000 : 900'000)));
      world.check_queue();
    }
    world.faults = false;
    world.run_for(std::chrono::hours(5));
    for (const auto& deployment : world.deployments()) EXPECT_FALSE(control::in_progress(deployment.status)) << seed << " " << deployment.id << world.story();
    world.deploy(world.register_revision(Behaviour::Good));
    world.run_for(std::chrono::hours(2));
    world.check_queue();
    EXPECT_EQ(world.deployments().back().status, model::DeploymentStatus::Successful) << "seed " << seed << world.story();
    expect_no_complaints(world, seed);
    expect_arrived(world, seed);
    if (::testing::Test::HasFailure()) return;
  }
}

// The alarm goes off by what is measured, and what it ends returns; the same without anything measured passes.
TEST(Alarms, TakeADeploymentBackByWhatIsMeasured) {
  for (auto strategy : {model::Strategy::Rolling, model::Strategy::BlueGreen}) {
    for (bool errors : {true, false}) {
      Scenario setup{.desired = 2, .kills = false};
      setup.configuration.strategy = strategy;
      setup.configuration.bake_time = Seconds(600);
      setup.configuration.alarms = {.names = {kAlarm}, .enable = true, .rollback = true};
      World world(7, setup);
      world.run_for(Seconds(900));
      ASSERT_EQ(world.deployments().back().status, model::DeploymentStatus::Successful) << world.story();
      world.update(world.register_revision(Behaviour::Good));
      world.run_for(Seconds(200));
      EXPECT_EQ(world.deployments().back().stage, model::Stage::BakeTime) << world.story();
      world.count_errors(errors ? 11 : 10);
      world.run_for(Seconds(900));
      EXPECT_EQ(world.deployments().back().status, errors ? model::DeploymentStatus::RollbackSuccessful : model::DeploymentStatus::Successful) << world.story();
      expect_no_complaints(world, 7);
      expect_arrived(world, 7);
    }
  }
}

// Both revisions have what is wanted of the service, at every stage, whichever way it is scaled.
TEST(BlueGreen, ScalesBothRevisionsAtEveryStage) {
  using enum model::Stage;
  constexpr model::Stage stages[] = {PreScaleUp, PostScaleUp, PostTestTrafficShift, PreProductionTrafficShift, PostProductionTrafficShift};
  for (auto strategy : {model::Strategy::BlueGreen, model::Strategy::Canary, model::Strategy::Linear}) {
    Scenario setup{.desired = 2, .kills = false};
    setup.configuration.strategy = strategy;
    setup.configuration.linear_step_percent = 50;
    setup.configuration.canary_bake_time = setup.configuration.linear_step_bake_time = Seconds(10);
    World world(6, setup);
    world.run_for(Seconds(120));
    ASSERT_EQ(world.deployments().back().status, model::DeploymentStatus::Successful) << world.story();
    model::LifecycleHook pause{.target = model::HookTarget::Pause};
    pause.stages.assign(std::begin(stages), std::end(stages));
    world.pause_at(pause);
    world.update(world.register_revision(Behaviour::Good));
    std::set<model::Stage> seen;
    for (int i = 0; i < 10 && control::in_progress(world.deployments().back().status); ++i) {
      world.run_for(Seconds(60));
      auto stage = world.deployments().back().stage;
      seen.insert(stage);
      for (int desired : {3, 1, 4}) {
        world.scale(desired);
        world.run_for(Seconds(90));
        std::map<std::string, int> count;
        for (const auto& task : world.live_tasks()) ++count[task.service_revision];
        EXPECT_EQ(count.size(), stage == PreScaleUp ? 1u : 2u) << name_of(stage);
        for (const auto& [revision, tasks] : count) EXPECT_EQ(tasks, desired) << name_of(stage) << world.story();
      }
      world.continue_deployment(model::HookAction::Continue);
      world.run_for(Seconds(60));
    }
    EXPECT_EQ(seen.size(), std::size(stages)) << world.story();
    EXPECT_EQ(world.deployments().back().status, model::DeploymentStatus::Successful) << world.story();
    expect_no_complaints(world, 6);
    expect_arrived(world, 6);
  }
}

// Every status and stage that there is can be reached, and is left again; for UpdateService and for CodeDeploy.
class States : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Both, States, ::testing::Bool());

TEST_P(States, AreAllReached) {
  Scenario setup{.desired = 2, .kills = false, .queued = GetParam()};
  setup.configuration.strategy = model::Strategy::BlueGreen;
  setup.configuration.bake_time = Seconds(600);
  World world(8, setup);
  world.watching = true;
  auto release = [&] {
    auto revision = world.register_revision(Behaviour::Good);
    if (setup.queued) world.deploy(revision);
    else world.update(revision);
  };
  auto newest = [&] { return world.deployments().back().status; };
  world.run_for(Seconds(900));
  EXPECT_EQ(newest(), model::DeploymentStatus::Successful) << world.story();
  for (bool rollback : {true, false}) {  // ROLLBACK_REQUESTED … ROLLBACK_SUCCESSFUL; STOP_REQUESTED, STOPPED
    release();
    world.run_for(Seconds(100));
    world.stop_newest(rollback);
    world.run_for(Seconds(300));
    EXPECT_EQ(newest(), rollback ? model::DeploymentStatus::RollbackSuccessful : model::DeploymentStatus::Stopped) << world.story();
  }
  release();
  world.run_for(Seconds(900));
  EXPECT_EQ(newest(), model::DeploymentStatus::Successful) << world.story();
  // A way back on which nothing runs any more fails at its deadline; the next release mends it.
  auto source = world.service().target.revision;
  release();
  world.run_for(Seconds(100));
  world.spoil(source, Behaviour::ExitsAtOnce);
  world.stop_newest(true);
  world.run_for(std::chrono::hours(1));
  EXPECT_EQ(newest(), model::DeploymentStatus::RollbackFailed) << world.story();
  release();
  world.run_for(std::chrono::hours(1));
  EXPECT_EQ(newest(), model::DeploymentStatus::Successful) << world.story();
  expect_arrived(world, 8);
  for (const auto& [status, name] : watari_enum_names(model::DeploymentStatus{})) EXPECT_TRUE(world.statuses.contains(status)) << name;
  for (const auto& [stage, name] : watari_enum_names(model::Stage{})) EXPECT_TRUE(world.stages.contains(stage)) << name;
}

TEST(Deletion, TakesEverythingOutInOrder) {
  World world(5, {.desired = 3});
  world.run_for(Seconds(120));
  world.delete_service();
  world.faults = false;
  world.run_for(Seconds(300));
  expect_no_complaints(world, 5);
  EXPECT_EQ(world.service().status, "INACTIVE");
  EXPECT_TRUE(world.engine.tasks.empty()) << world.story();
  EXPECT_EQ(world.state().targets.size(), 0u);
  EXPECT_EQ(world.state().network_interfaces.size(), 0u);
}

}  // namespace
}  // namespace watari::sim
