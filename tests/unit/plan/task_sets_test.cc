#include <gtest/gtest.h>

#include "plan/reconcile.h"

namespace watari::plan {
namespace {

const Time kNow{Seconds(1'000'000)};

struct External {
  External() {
    snapshot.now = kNow;
    snapshot.service.name = "web";
    snapshot.service.controller = "EXTERNAL";
    snapshot.service.desired_count = 4;
  }
  model::TaskSet& add(const std::string& id, double scale) {
    auto& sets = snapshot.service.task_sets;
    sets.push_back({.revision = {.id = id}, .scale = scale});
    return sets.back();
  }
  void run(const std::string& set, int count) {
    for (int i = 0; i < count; ++i) {
      model::Task task{.id = set + std::to_string(i), .service_revision = set};
      task.status.state = model::TaskState::Running;
      task.status.started_at = task.healthy_at = kNow - Seconds(100);
      snapshot.tasks.push_back(task);
    }
  }
  std::map<std::string, int> started() {
    std::map<std::string, int> out;
    for (const auto& action : reconcile(snapshot).actions)
      if (auto* start = std::get_if<StartTask>(&action)) {
        ++out[start->revision];
        EXPECT_EQ(start->deployment, "ecs-svc/" + start->revision);
      }
    return out;
  }
  int stopped() {
    int out = 0;
    for (const auto& action : reconcile(snapshot).actions) out += std::holds_alternative<StopTask>(action);
    return out;
  }
  std::optional<model::Service> service() {
    for (const auto& action : reconcile(snapshot).actions)
      if (auto* put = std::get_if<PutService>(&action)) return put->service;
    return std::nullopt;
  }
  ServiceSnapshot snapshot;
};

TEST(TaskSets, HaveTheirShareOfTheDesiredCountRoundedUp) {
  for (auto [scale, count] : {std::pair{0.0, 0}, {1.0, 1}, {25.0, 1}, {25.1, 2}, {50.0, 2}, {100.0, 4}})
    EXPECT_EQ(task_set_count({.scale = scale}, 4), count) << scale;
  EXPECT_EQ(task_set_count({.scale = 55}, 100), 55) << "not 56, whatever floating point says";
  External external;
  external.add("blue", 100);
  external.add("green", 30);
  EXPECT_EQ(external.started(), (std::map<std::string, int>{{"blue", 4}, {"green", 2}}));
}

TEST(TaskSets, AreStableWhenAllRunHealthyAndNoneLeaves) {
  External external;
  external.add("blue", 100);
  external.run("blue", 3);
  EXPECT_FALSE(external.service());
  external.run("blue", 1);
  auto service = external.service();
  ASSERT_TRUE(service && service->task_sets[0].stable);
  EXPECT_EQ(service->task_sets[0].stable_since, kNow);
  external.snapshot.service = *service;
  external.run("blue", 1);
  external.snapshot.tasks.back().desired_stopped = true;
  service = external.service();
  ASSERT_TRUE(service);
  EXPECT_FALSE(service->task_sets[0].stable);
}

TEST(TaskSets, ShrinkAndGoWithTheirTasks) {
  External external;
  external.add("blue", 50).stable = true;
  external.run("blue", 4);
  EXPECT_EQ(external.stopped(), 2);
  external.snapshot.service.task_sets[0].status = "DRAINING";
  EXPECT_EQ(external.stopped(), 4);
  auto service = external.service();
  ASSERT_TRUE(!service || service->task_sets.size() == 1u) << "its tasks are still there";
  external.snapshot.tasks.clear();
  service = external.service();
  ASSERT_TRUE(service);
  EXPECT_TRUE(service->task_sets.empty());
}

TEST(TaskSets, TaskOfNoSetIsStopped) {
  External external;
  external.run("gone", 2);
  EXPECT_EQ(external.stopped(), 2);
}

}  // namespace
}  // namespace watari::plan
