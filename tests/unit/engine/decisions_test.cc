// The pure parts: order of containers, health.
#include <gtest/gtest.h>

#include "engine/local/dependencies.h"
#include "engine/local/health.h"
#include "engine/local/preparation.h"

namespace watari::engine {
namespace {

using model::ContainerState;
using model::DependencyCondition;
using model::Health;

ContainerSpec container(const std::string& name, std::vector<model::Dependency> depends_on = {}) {
  ContainerSpec spec;
  spec.definition.name = name;
  spec.definition.depends_on = std::move(depends_on);
  return spec;
}

model::ContainerStatus status(const std::string& name, ContainerState state, std::optional<int> exit_code = {}, Health health = Health::Unknown) {
  model::ContainerStatus out;
  out.name = name;
  out.state = state;
  out.exit_code = exit_code;
  out.health = health;
  if (state == ContainerState::Running || exit_code) out.started_at = Time{};
  return out;
}

Readiness readiness(DependencyCondition condition, const model::ContainerStatus& on) {
  return may_start(container("app", {{"db", condition}}).definition, {status("app", ContainerState::Pending), on}).readiness;
}

TEST(MayStart, FollowsEachCondition) {
  auto pending = status("db", ContainerState::Pending);
  auto running = status("db", ContainerState::Running);
  auto healthy = status("db", ContainerState::Running, {}, Health::Healthy);
  auto unhealthy = status("db", ContainerState::Running, {}, Health::Unhealthy);
  auto succeeded = status("db", ContainerState::Stopped, 0);
  auto failed = status("db", ContainerState::Stopped, 1);
  auto never_ran = status("db", ContainerState::Stopped);
  using enum DependencyCondition;
  struct Case {
    DependencyCondition condition;
    const model::ContainerStatus& on;
    Readiness expected;
  };
  for (const auto& [condition, on, expected] : std::initializer_list<Case>{
           {Start, pending, Readiness::Waiting},    {Start, running, Readiness::Ready},      {Start, succeeded, Readiness::Ready},
           {Start, never_ran, Readiness::Never},    {Complete, pending, Readiness::Waiting}, {Complete, running, Readiness::Waiting},
           {Complete, failed, Readiness::Ready},    {Complete, never_ran, Readiness::Never}, {Success, running, Readiness::Waiting},
           {Success, succeeded, Readiness::Ready},  {Success, failed, Readiness::Never},     {Healthy, pending, Readiness::Waiting},
           {Healthy, running, Readiness::Waiting},  {Healthy, healthy, Readiness::Ready},    {Healthy, unhealthy, Readiness::Never},
           {Healthy, succeeded, Readiness::Never}})
    EXPECT_EQ(readiness(condition, on), expected) << name_of(condition) << " on " << name_of(on.state) << " " << on.exit_code.value_or(-1);
}

TEST(MayStop, WaitsForThoseWhoDepend) {
  std::vector<ContainerSpec> containers{container("app", {{"db", DependencyCondition::Start}}), container("db")};
  EXPECT_FALSE(may_stop("db", containers, {status("app", ContainerState::Running), status("db", ContainerState::Running)}));
  EXPECT_TRUE(may_stop("app", containers, {status("app", ContainerState::Running), status("db", ContainerState::Running)}));
  EXPECT_TRUE(may_stop("db", containers, {status("app", ContainerState::Stopped, 0), status("db", ContainerState::Running)}));
}

TEST(CheckDependencies, RefusesCirclesMissingContainersAndHealthWithoutACheck) {
  using enum DependencyCondition;
  EXPECT_TRUE(check_dependencies({container("a", {{"b", Start}}), container("b", {{"c", Success}}), container("c")}));
  EXPECT_FALSE(check_dependencies({container("a", {{"b", Start}}), container("b", {{"a", Start}})}));
  EXPECT_FALSE(check_dependencies({container("a", {{"a", Start}})}));
  EXPECT_FALSE(check_dependencies({container("a", {{"x", Start}})}));
  EXPECT_FALSE(check_dependencies({container("a", {{"b", Healthy}}), container("b")}));
}

TEST(Health, NeedsRetriesInARowToBeUnhealthy) {
  HealthState health({.command = {"CMD", "true"}, .interval = Seconds(10), .retries = 3});
  EXPECT_FALSE(health.record(false, Seconds(11)));
  EXPECT_FALSE(health.record(false, Seconds(21)));
  EXPECT_TRUE(health.record(true, Seconds(31)));
  EXPECT_EQ(health.health(), Health::Healthy);
  EXPECT_FALSE(health.record(false, Seconds(41)));
  EXPECT_FALSE(health.record(false, Seconds(51)));
  EXPECT_TRUE(health.record(false, Seconds(61)));
  EXPECT_EQ(health.health(), Health::Unhealthy);
  EXPECT_TRUE(health.record(true, Seconds(71)));
}

TEST(Health, FailuresOfTheStartPeriodDoNotCountAndSuccessDoesAtOnce) {
  HealthState health({.command = {"CMD", "true"}, .interval = Seconds(5), .retries = 1, .start_period = Seconds(60)});
  EXPECT_EQ(health.next_check_in(Millis(0)), Millis(250));
  for (int second = 0; second < 60; ++second) EXPECT_FALSE(health.record(false, Seconds(second)));
  EXPECT_EQ(health.next_check_in(Seconds(30)), Millis(1000));
  EXPECT_TRUE(health.record(true, Seconds(59)));
  EXPECT_EQ(health.next_check_in(Seconds(59)), Seconds(5));
  EXPECT_TRUE(health.record(false, Seconds(59)));
  EXPECT_EQ(health.health(), Health::Unhealthy);
}

TEST(Health, CommandsAreAsWritten) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(HealthState::command({.command = {"CMD-SHELL", "curl -f localhost"}}), (Words{"/bin/sh", "-c", "curl -f localhost"}));
  EXPECT_EQ(HealthState::command({.command = {"CMD", "curl", "x"}}), (Words{"curl", "x"}));
}

TEST(FirstId, IsTheSameEachTimeAndFits) {
  EXPECT_EQ(first_id_of("0123"), first_id_of("0123"));
  EXPECT_NE(first_id_of("0123"), first_id_of("0124"));
  for (int i = 0; i < 1000; ++i) {
    auto first = first_id_of(std::to_string(i));
    EXPECT_GE(first, 100000);
    EXPECT_LT(first + 65536, 1LL << 31);
  }
}

}  // namespace
}  // namespace watari::engine
