// The daemon and the shim die at any instant; every task is accounted for, none runs twice.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/strings.h"
#include "codec/json.h"
#include "local_fixture.h"
#include "sys/files.h"

namespace watari::engine {
namespace {

using model::ContainerState;
using model::TaskState;

class CrashTest : public LocalEngineTest {
 protected:
  bool starts_with_engine() const override { return false; }

  // Another process with an engine on our root; `work` is what it does before it waits to be killed. It says the states of tasks on a pipe.
  pid_t start_daemon(const std::function<void(Engine&)>& work) {
    engine_.reset();
    pool_.reset();  // fork() wants one thread
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    auto pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      async::Pool pool(8);
      auto given = options();
      given.pool = &pool;
      auto engine = start_local_engine(given);
      if (!engine) ::_exit(1);
      auto recovered = (*engine)->recover([out = ends[1]](const model::TaskStatus& status) {
        auto line = std::string(name_of(status.state)) + "\n";
        (void)!::write(out, line.data(), line.size());
      });
      if (!recovered) ::_exit(2);
      work(**engine);
      for (;;) ::pause();
    }
    ::close(ends[1]);
    if (states_ >= 0) ::close(states_);
    states_ = ends[0];
    return pid;
  }
  void wait_for_state(const std::string& wanted) {
    std::string line;
    for (char c; ::read(states_, &c, 1) == 1;) {
      if (c != '\n') {
        line += c;
        continue;
      }
      if (line == wanted) return;
      ASSERT_NE(line, "STOPPED");
      line.clear();
    }
    FAIL() << "the daemon ended before a task was " << wanted;
  }
  static void kill_process(pid_t pid) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  // A task that leaves a line in a shared volume whenever it is started.
  TaskSpec counting_task() {
    auto app = shell("app", "echo started >> /shared/starts; trap 'exit 0' TERM; while true; do sleep 0.02; done");
    auto spec = task({app});
    spec.containers[0].definition.mounts = {{"starts-" + spec.id, "/shared", false}};
    spec.volumes = {{"starts-" + spec.id, "", true}};
    return spec;
  }
  std::size_t starts_of(const TaskSpec& spec) {
    auto text = sys::read_file((root_ / "volumes" / spec.volume_scope / ("starts-" + spec.id) / "data/starts").string()).value_or("");
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
  }
  pid_t shim_pid(const std::string& task) {
    auto text = sys::read_file("/run/watari-" + root_id_ + "/tasks/" + task + "/shim.json").value_or("{}");
    return static_cast<pid_t>((*codec::parse_json(text))["pid"].as_int());
  }
  bool recovered(const std::string& id) {
    return std::ranges::any_of(recovered_, [&](const auto& each) { return each.task == id; });
  }

  int states_ = -1;
};

TEST_F(CrashTest, TasksGoOnWhenTheDaemonIsKilled) {
  auto spec = counting_task();
  spec.containers[0].definition.command[2] += " & while true; do echo tick; sleep 0.1; done";
  auto daemon = start_daemon([&](Engine& engine) { engine.run(spec); });
  wait_for_state("RUNNING");
  for (int i = 0; i < 500 && starts_of(spec) == 0; ++i) std::this_thread::sleep_for(Millis(10));
  kill_process(daemon);
  auto before = output_of(spec, "app").size();
  std::this_thread::sleep_for(Millis(500));
  EXPECT_GT(output_of(spec, "app").size(), before) << "output stopped while no daemon ran";
  start_engine();
  ASSERT_EQ(recovered_.size(), 1U);
  EXPECT_EQ(recovered_[0].state, TaskState::Running);
  EXPECT_TRUE(engine_->exec(spec.id, "app", {"/bin/true"}, Seconds(5)));
  EXPECT_EQ(starts_of(spec), 1U);
  engine_->stop(spec.id, "UserInitiated", "test");
  EXPECT_EQ(seen_->wait_state(spec.id, TaskState::Stopped).stop_reason, "test");
}

TEST_F(CrashTest, WhatEndedWhileNoDaemonRanIsKnown) {
  auto spec = task({shell("app", "sleep 0.5; echo done; exit 9")});
  auto daemon = start_daemon([&](Engine& engine) { engine.run(spec); });
  wait_for_state("RUNNING");
  kill_process(daemon);
  std::this_thread::sleep_for(Millis(1000));
  start_engine();
  auto status = seen_->wait_state(spec.id, TaskState::Stopped);
  EXPECT_EQ(container(status, "app").exit_code, 9);
  EXPECT_EQ(status.stop_code, "EssentialContainerExited");
  EXPECT_EQ(output_of(spec, "app"), "done\n");
}

TEST_F(CrashTest, ADaemonKilledWhileStartingATaskNeitherLosesNorDoublesIt) {
  for (int delay = 0; delay < 200; delay += 5) {
    SCOPED_TRACE("killed after " + std::to_string(delay) + " ms");
    auto spec = counting_task();
    auto daemon = start_daemon([&](Engine& engine) { engine.run(spec); });
    std::this_thread::sleep_for(Millis(delay));
    kill_process(daemon);
    start_engine();
    if (!recovered(spec.id)) engine_->run(spec);  // as control does with a task that the engine does not know
    auto status = seen_->wait(spec.id, [](const auto& each) { return each.state == TaskState::Running || each.state == TaskState::Stopped; });
    EXPECT_EQ(status.state, TaskState::Running) << status.stop_reason << " " << status.containers[0].reason;
    for (int i = 0; i < 500 && starts_of(spec) == 0; ++i) std::this_thread::sleep_for(Millis(10));
    std::this_thread::sleep_for(Millis(100));
    EXPECT_EQ(starts_of(spec), 1U);
    stop_and_forget(spec.id);
  }
}

TEST_F(CrashTest, ADaemonKilledWhileStoppingATaskFinishesStopping) {
  for (int delay = 0; delay < 120; delay += 6) {
    SCOPED_TRACE("killed after " + std::to_string(delay) + " ms");
    auto spec = counting_task();
    auto daemon = start_daemon([&](Engine& engine) {
      engine.run(spec);
      ::sigset_t signals;
      ::sigemptyset(&signals);
      ::sigaddset(&signals, SIGUSR1);
      ::sigprocmask(SIG_BLOCK, &signals, nullptr);
      int number;
      ::sigwait(&signals, &number);
      engine.stop(spec.id, "UserInitiated", "because");
    });
    wait_for_state("RUNNING");
    std::this_thread::sleep_for(Millis(50));
    ::kill(daemon, SIGUSR1);
    std::this_thread::sleep_for(Millis(delay));
    kill_process(daemon);
    start_engine();
    ASSERT_TRUE(recovered(spec.id));
    auto now = seen_->history(spec.id).back();
    if (now.state < TaskState::Stopping) engine_->stop(spec.id, "UserInitiated", "because");  // as control does
    auto status = seen_->wait_state(spec.id, TaskState::Stopped);
    EXPECT_EQ(status.stop_reason, "because");
    EXPECT_EQ(status.containers[0].exit_code, 0);
    engine_->forget(spec.id);
  }
}

TEST_F(CrashTest, AKilledShimStopsItsTaskAndNobodyElses) {
  start_engine();
  auto victim = counting_task(), other = counting_task();
  run_until_running(victim);
  run_until_running(other);
  ::kill(shim_pid(victim.id), SIGKILL);
  auto status = seen_->wait_state(victim.id, TaskState::Stopped);
  EXPECT_NE(status.stop_reason.find("shim"), std::string::npos);
  EXPECT_EQ(status.containers[0].exit_code, 137);
  EXPECT_TRUE(engine_->exec(other.id, "app", {"/bin/true"}, Seconds(5)));
  engine_->forget(victim.id);
  for (int i = 0; i < 200 && !find_leaks(root_id_).empty(); ++i) {
    bool left = std::ranges::any_of(find_leaks(root_id_), [&](const auto& leak) { return leak.contains(victim.id); });
    if (!left) break;
    std::this_thread::sleep_for(Millis(10));
  }
  for (const auto& leak : find_leaks(root_id_)) EXPECT_FALSE(leak.contains(victim.id)) << leak;
}

TEST_F(CrashTest, AShimKilledWhileStartingContainersLeavesNothingRunning) {
  for (int delay = 0; delay < 80; delay += 4) {
    SCOPED_TRACE("killed after " + std::to_string(delay) + " ms");
    if (!engine_) start_engine();
    auto spec = counting_task();
    engine_->run(spec);
    pid_t shim = 0;
    seen_->wait(spec.id, [](const auto& each) { return each.state == TaskState::Pending; });
    for (int i = 0; i < 2000 && shim == 0; ++i) {
      shim = shim_pid(spec.id);
      if (!shim) std::this_thread::sleep_for(Millis(1));
    }
    ASSERT_GT(shim, 0);
    std::this_thread::sleep_for(Millis(delay));
    ::kill(shim, SIGKILL);
    auto status = seen_->wait_state(spec.id, TaskState::Stopped);
    EXPECT_FALSE(status.stop_reason.empty());
    auto starts = starts_of(spec);
    std::this_thread::sleep_for(Millis(50));
    EXPECT_EQ(starts_of(spec), starts) << "something still runs";
    engine_->forget(spec.id);
  }
}

TEST_F(CrashTest, ShimAndDaemonKilledTogetherIsNoticedByTheNextDaemon) {
  auto spec = counting_task();
  auto daemon = start_daemon([&](Engine& engine) { engine.run(spec); });
  wait_for_state("RUNNING");
  kill_process(daemon);
  ::kill(shim_pid(spec.id), SIGKILL);
  start_engine();
  auto status = seen_->wait_state(spec.id, TaskState::Stopped);
  EXPECT_NE(status.stop_reason.find("shim"), std::string::npos);
  engine_->forget(spec.id);
}

TEST_F(CrashTest, AfterARebootTasksAreReportedStopped) {
  start_engine();
  auto spec = counting_task();
  run_until_running(spec);
  engine_->stop_all();
  engine_.reset();
  // What a reboot leaves: the disk.
  std::filesystem::create_directories(root_ / "tasks" / spec.id / "containers/app/upper");
  start_engine();
  ASSERT_TRUE(recovered(spec.id));
  EXPECT_EQ(recovered_[0].state, TaskState::Stopped);
  EXPECT_EQ(recovered_[0].stop_reason, "The host was restarted");
  engine_->forget(spec.id);
  for (int i = 0; i < 100 && std::filesystem::exists(root_ / "tasks" / spec.id); ++i) std::this_thread::sleep_for(Millis(10));
  EXPECT_FALSE(std::filesystem::exists(root_ / "tasks" / spec.id));
}

}  // namespace
}  // namespace watari::engine
