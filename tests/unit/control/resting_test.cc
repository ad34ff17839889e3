#include "control/resting.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "base/id.h"

namespace watari::control {
namespace {

const model::Scope kScope{"123456789012", "us-east-1"};
const Time kNow{Seconds(1'000'000)};

// A service with one healthy task in the target group "tg", to which the rule "rule" forwards; and another service.
class RestingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("watari-test-" + random_hex(8));
    std::filesystem::create_directory(folder_);
    database_ = *store::Database::open(folder_ / "watari.db");
    state_ = std::make_unique<State>(*database_);
    service_ = {.scope = kScope, .cluster = "default", .name = "web"};
    service_.status = "ACTIVE";
    service_.desired_count = 1;
    task_ = {.scope = kScope, .id = "t1", .cluster = "default"};
    task_.service = "web";
    task_.status.state = model::TaskState::Running;
    task_.healthy_at = kNow;
    health_ = {{"tg", "10.0.0.1", 80, model::TargetState::Healthy, "", "", 0}};
    write([&] {
      state_->services.put(key(), service_);
      state_->tasks.put(task_key(task_), task_);
      state_->target_groups.put("tg", {});
      state_->rules.put("rule", {});
    });
    look();
    EXPECT_TRUE(rests());
  }
  void TearDown() override {
    state_.reset();
    database_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string key() const { return service_key(service_); }
  template <class Change>
  void write(Change&& change) {
    store::Transaction transaction(*database_);
    change();
    EXPECT_TRUE(transaction.commit());
  }
  void look(plan::Plan plan = {}) {
    resting_.begin(*state_);
    plan::ServiceSnapshot snapshot;
    snapshot.service = service_;
    snapshot.tasks = {task_};
    snapshot.deregistration_delays["tg"] = Seconds(30);
    snapshot.weights["rule"] = {};
    snapshot.health = health_;
    resting_.looked_at(key(), snapshot, plan);
  }
  // In the next evaluation.
  bool rests(Time now = kNow) {
    resting_.begin(*state_);
    std::optional<Time> wake;
    return resting_.has(key(), now, [&](const std::string&) { return std::span<const model::TargetHealth>(health_); }, wake);
  }

  std::filesystem::path folder_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<State> state_;
  model::Service service_;
  model::Task task_;
  std::vector<model::TargetHealth> health_;
  Resting resting_;
};

TEST_F(RestingTest, WakesWithEverythingThatItsPlanIsMadeFrom) {
  model::Deployment deployment{.scope = kScope, .id = "ecs-svc/1", .cluster = "default", .service = "web"};
  std::vector<std::pair<const char*, std::function<void()>>> changes = {
      {"service", [&] { state_->services.put(key(), service_); }},
      {"task", [&] { state_->tasks.put(task_key(task_), task_); }},
      {"task that goes", [&] { state_->tasks.erase(task_key(task_)); }},
      {"deployment", [&] { state_->deployments.put(deployment_key(deployment), deployment); }},
      {"target", [&] { state_->targets.put("tg/10.0.0.1:80", {.target_group = "tg", .address = "10.0.0.1", .port = 80}); }},
      {"target group", [&] { state_->target_groups.put("tg", {}); }},
      {"rule", [&] { state_->rules.put("rule", {}); }},
      {"rule that goes", [&] { state_->rules.erase("rule"); }}};
  for (auto& [what, change] : changes) {
    write(change);
    EXPECT_FALSE(rests()) << what;
    look();
    EXPECT_TRUE(rests()) << what;
  }
  health_[0].state = model::TargetState::Unhealthy;
  EXPECT_FALSE(rests());
}

TEST_F(RestingTest, SleepsThroughWhatHappensToOthers) {
  auto other = service_;
  other.name = "other";
  write([&] {
    state_->services.put(service_key(other), other);
    state_->rules.put("another", {});
    state_->targets.put("tg2/10.0.0.2:80", {.target_group = "tg2", .address = "10.0.0.2", .port = 80});
  });
  health_[0].description = "HTTP status 200 after 3 ms";
  EXPECT_TRUE(rests());
}

TEST_F(RestingTest, WakesAtTheTimeThatThePlanSaid) {
  plan::Plan plan;
  plan.wake = kNow + Seconds(5);
  look(plan);
  EXPECT_TRUE(rests(kNow + Seconds(4)));
  EXPECT_FALSE(rests(kNow + Seconds(5)));
}

TEST_F(RestingTest, NeverRestsWhileThereIsSomethingToDo) {
  plan::Plan plan;
  plan.actions.push_back(plan::Event{"something"});
  look(plan);
  EXPECT_FALSE(rests());
  service_.desired_count = 2;
  look();
  EXPECT_FALSE(rests());
  service_.desired_count = 1;
  task_.desired_stopped = true;
  look();
  EXPECT_FALSE(rests());
}

}  // namespace
}  // namespace watari::control
