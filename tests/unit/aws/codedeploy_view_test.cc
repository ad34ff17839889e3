#include "aws/codedeploy/view.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "async/loop.h"
#include "async/pool.h"
#include "base/id.h"

namespace watari::aws::codedeploy {
namespace {

using model::DeploymentStatus;

const model::Scope kScope{"123456789012", "us-east-1"};

class DeploymentsOfCodeDeploy : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("watari-test-" + random_hex(8));
    std::filesystem::create_directory(folder_);
    control_ = *control::Control::open({.root = folder_}, clock_, scheduler_);
    platform_.control = control_.get();
  }
  void TearDown() override {
    control_.reset();
    std::filesystem::remove_all(folder_);
  }

  model::Deployment deployment(const std::string& id, DeploymentStatus status) {
    model::Deployment out{.scope = kScope, .id = "ecs-svc/" + id, .cluster = "default", .service = "web", .source = model::ServiceRevision{.id = "old"}};
    out.status = status;
    out.created_at = out.updated_at = Time(Seconds(std::stoi(id)));
    out.code_deploy = model::CodeDeployment{.id = "d-" + id, .application = "app", .group = "group", .rollback_id = "d-back" + id};
    return out;
  }
  void put(const model::Deployment& deployment) {
    ASSERT_TRUE(control_->commit([&]() -> Result<void> {
      control_->state().deployments.put(control::deployment_key(deployment), deployment);
      return {};
    }));
  }
  std::string status(const std::string& id) {
    auto view = find_view(call_, id);
    return view ? std::string(status_of(*view, call_)) : view.error().reason;
  }
  // As shown for this deployment, and for its way back.
  std::pair<std::string, std::string> shown(const model::Deployment& deployment) {
    put(deployment);
    return {status(deployment.code_deploy->id), status(deployment.code_deploy->rollback_id)};
  }

  ManualClock clock_;
  async::Loop loop_;
  async::Pool pool_{1};
  control::LoopScheduler scheduler_{loop_};
  Platform platform_{clock_, loop_, pool_};
  codec::Json request_;
  Call call_{kScope, "GetDeployment", "", "", {}, platform_, request_};
  std::filesystem::path folder_;
  std::unique_ptr<control::Control> control_;
};

constexpr const char* kNone = "DeploymentDoesNotExistException";

TEST_F(DeploymentsOfCodeDeploy, HaveAStatusForEveryOneOfOurs) {
  using enum DeploymentStatus;
  struct Row {
    DeploymentStatus ours;
    const char *forward, *back;
  };
  const Row rows[] = {{Pending, "Created", kNone},           {InProgress, "InProgress", kNone},        {Successful, "Succeeded", kNone},
                      {StopRequested, "Failed", kNone},      {Stopped, "Failed", kNone},               {RollbackRequested, "Failed", "Created"},
                      {RollbackInProgress, "Failed", "InProgress"}, {RollbackSuccessful, "Failed", "Succeeded"}, {RollbackFailed, "Failed", "Failed"}};
  EXPECT_EQ(std::size(rows), watari_enum_names(DeploymentStatus{}).size());
  for (const auto& row : rows) {
    auto one = deployment("1", row.ours);
    one.code_deploy->rollback_on_failure = true;
    EXPECT_EQ(shown(one), std::pair(std::string(row.forward), std::string(row.back))) << name_of(row.ours);
  }
}

TEST_F(DeploymentsOfCodeDeploy, AreStoppedBySomebodyOrByAnAlarmAndShowTheWayBackOnlyForWhatWasAskedFor) {
  auto ended = [&](auto&& why) {
    auto one = deployment("1", DeploymentStatus::RollbackSuccessful);
    why(one);
    return shown(one);
  };
  using Pair = std::pair<std::string, std::string>;
  auto stopped = [](model::Deployment& one) { one.stop_requested = true; };
  auto alarmed = [](model::Deployment& one) { one.triggered_alarms = {"errors"}; };
  EXPECT_EQ(ended(stopped), Pair("Stopped", kNone));
  EXPECT_EQ(ended(alarmed), Pair("Stopped", kNone));
  EXPECT_EQ(ended([](auto&) {}), Pair("Failed", kNone));
  EXPECT_EQ(ended([&](auto& one) { stopped(one), one.code_deploy->rollback_on_stop = true; }), Pair("Stopped", "Succeeded"));
  EXPECT_EQ(ended([&](auto& one) { alarmed(one), one.code_deploy->rollback_on_alarm = true; }), Pair("Stopped", "Succeeded"));
  EXPECT_EQ(ended([&](auto& one) { alarmed(one), one.code_deploy->rollback_on_failure = true; }), Pair("Stopped", kNone));
  EXPECT_EQ(ended([](auto& one) { one.code_deploy->rollback_on_alarm = true; }), Pair("Failed", kNone));
}

TEST_F(DeploymentsOfCodeDeploy, WaitInAQueueOrForSomebody) {
  put(deployment("1", DeploymentStatus::InProgress));
  put(deployment("2", DeploymentStatus::Pending));
  EXPECT_EQ(status("d-2"), "Queued");
  put(deployment("1", DeploymentStatus::Successful));
  EXPECT_EQ(status("d-2"), "Created");
  auto waits = deployment("3", DeploymentStatus::InProgress);
  waits.hook_runs.push_back({.status = model::HookStatus::AwaitingAction});
  waits.configuration.hooks.push_back({.target = model::HookTarget::Pause});
  put(waits);
  EXPECT_EQ(status("d-3"), "Ready");
  EXPECT_EQ(status("no"), "InvalidDeploymentIdException");
}

}  // namespace
}  // namespace watari::aws::codedeploy
