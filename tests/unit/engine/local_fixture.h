#pragma once
// A local engine on this machine, with an image made of a static busybox. Needs root; tests skip loudly where that is missing.
#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "async/pool.h"
#include "base/id.h"
#include "engine/engine.h"
#include "engine/leaks.h"
#include "engine/local/local_engine.h"
#include "oci/image_store.h"

namespace watari::engine {

// Adds the image "busybox": two layers, applets as hard links.
void add_busybox(oci::ImageStore& store);

// Statuses as they come, and waiting for them.
class Observations {
 public:
  void add(const model::TaskStatus& status);
  Engine::Observer observer();
  // The first status of the task for which `good` holds, or a failure with the last one after `seconds`.
  model::TaskStatus wait(const std::string& task, const std::function<bool(const model::TaskStatus&)>& good, int seconds = 20);
  model::TaskStatus wait_state(const std::string& task, model::TaskState state, int seconds = 20);
  std::vector<model::TaskStatus> history(const std::string& task);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<model::TaskStatus>> history_;
};

class LocalEngineTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
  virtual bool starts_with_engine() const { return true; }

  void start_engine();  // and recover
  void drop_engine() { engine_.reset(); }
  LocalEngineOptions options();

  TaskSpec task(std::vector<model::ContainerDefinition> containers);
  static model::ContainerDefinition shell(const std::string& name, const std::string& script);
  model::TaskStatus run_to_end(const TaskSpec& spec);
  model::TaskStatus run_until_running(const TaskSpec& spec);
  void stop_and_forget(const std::string& id);
  std::string output_of(const TaskSpec& spec, const std::string& container);  // its log, newlines added
  static const model::ContainerStatus& container(const model::TaskStatus& status, const std::string& name);

  std::filesystem::path root_;
  std::string root_id_;
  std::unique_ptr<oci::ImageStore> images_;
  std::unique_ptr<async::Pool> pool_;
  std::unique_ptr<Engine> engine_;
  std::shared_ptr<Observations> seen_ = std::make_shared<Observations>();
  std::vector<model::TaskStatus> recovered_;
  int addresses_ = 10;
};

}  // namespace watari::engine
