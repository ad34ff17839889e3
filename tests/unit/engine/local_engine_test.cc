#include <algorithm>

#include "local_fixture.h"

namespace watari::engine {
namespace {

using model::ContainerState;
using model::DependencyCondition;
using model::Health;
using model::TaskState;

TEST_F(LocalEngineTest, ATaskRunsAndItsExitCodeAndOutputAreKept) {
  auto spec = task({shell("app", "echo hello; echo oops >&2; exit 7")});
  auto status = run_to_end(spec);
  EXPECT_EQ(container(status, "app").exit_code, 7);
  EXPECT_EQ(status.stop_code, "EssentialContainerExited");
  EXPECT_EQ(status.stop_reason, "Essential container in task exited");
  EXPECT_EQ(output_of(spec, "app"), "hello\noops\n");
  for (auto time : {status.pull_started_at, status.pull_stopped_at, status.stopping_at, status.stopped_at, status.execution_stopped_at})
    EXPECT_TRUE(time);
  std::vector<TaskState> states;
  for (const auto& each : seen_->history(spec.id))
    if (states.empty() || states.back() != each.state) states.push_back(each.state);
  EXPECT_TRUE(std::ranges::is_sorted(states));
}

TEST_F(LocalEngineTest, TheContainerIsUnprivilegedAndSeesItsOwnWorld) {
  auto definition = shell("app", "id; cat /proc/self/uid_map; hostname; cat /etc/hostname; ls /sys/class/net; pwd; env; cat /proc/self/status");
  definition.working_directory = "/tmp";
  definition.environment = {{"COLOUR", "blue"}};
  auto spec = task({definition});
  spec.containers[0].secrets = {{"PASSWORD", "geheim"}};
  run_to_end(spec);
  auto output = output_of(spec, "app");
  for (auto* part : {"uid=0(root) gid=0(root)", " 65536\n", "ip-172-31-5-1\nip-172-31-5-1\n", "eth0\nlo\n", "/tmp\n", "COLOUR=blue\n", "FROM_IMAGE=yes\n",
                     "PASSWORD=geheim\n", "HOSTNAME=ip-172-31-5-1\n", "NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t00000000a80425fb"})
    EXPECT_NE(output.find(part), std::string::npos) << part << " is not in:\n" << output;
  EXPECT_EQ(output.find("         0          0 "), std::string::npos) << "root is root";
}

TEST_F(LocalEngineTest, TheUserComesFromTheImage) {
  auto definition = shell("app", "id; echo $HOME");
  definition.user = "web";
  auto spec = task({definition});
  run_to_end(spec);
  EXPECT_EQ(output_of(spec, "app"), "uid=1000(web) gid=1001(web) groups=2000(extra)\n/home/web\n");
}

TEST_F(LocalEngineTest, AnUnknownUserOrCommandOrImageIsNamed) {
  auto definition = shell("app", "true");
  definition.user = "nobody-here";
  auto status = run_to_end(task({definition}));
  EXPECT_NE(container(status, "app").reason.find("CannotStartContainerError: unable to find user nobody-here"), std::string::npos);
  EXPECT_EQ(status.stop_code, "TaskFailedToStart");

  definition = shell("app", "");
  definition.command = {"/no/such/program"};
  status = run_to_end(task({definition}));
  EXPECT_NE(container(status, "app").reason.find("/no/such/program"), std::string::npos) << container(status, "app").reason;
  EXPECT_FALSE(container(status, "app").exit_code);

  definition.image = "missing:1";
  status = run_to_end(task({definition}));
  EXPECT_NE(status.stop_reason.find("CannotPullContainerError: no image missing:1"), std::string::npos) << status.stop_reason;
}

TEST_F(LocalEngineTest, NamesThatWouldLeaveTheirDirectoryAreRefused) {
  auto status = run_to_end(task({shell("../../escape", "true")}));
  EXPECT_NE(status.stop_reason.find("cannot be the name of a container"), std::string::npos) << status.stop_reason;
  auto spec = task({shell("app", "true")});
  spec.volumes = {{"..", "", true}};
  EXPECT_NE(run_to_end(spec).stop_reason.find("cannot be the name of a volume"), std::string::npos);
}

TEST_F(LocalEngineTest, NothingIsLaunchedThatCouldNotBeWrittenDown) {
  auto spec = task({shell("app", "echo ran; sleep 60")});
  auto record = std::filesystem::path("/run/watari-" + root_id_ + "/tasks/" + spec.id + "/record.json");
  std::filesystem::create_directories(record / "in the way");
  auto status = run_to_end(spec);
  EXPECT_EQ(status.stop_code, "TaskFailedToStart");
  EXPECT_NE(status.stop_reason.find("record.json"), std::string::npos) << status.stop_reason;
  EXPECT_EQ(output_of(spec, "app"), "");
}

TEST_F(LocalEngineTest, ARecordThatCouldNotBeWrittenIsWrittenLater) {
  auto deaf = shell("deaf", "trap '' TERM; while true; do sleep 0.05; done");
  deaf.stop_timeout = Seconds(5);
  auto spec = task({deaf});
  run_until_running(spec);
  auto record = std::filesystem::path("/run/watari-" + root_id_ + "/tasks/" + spec.id + "/record.json");
  std::filesystem::remove(record);
  std::filesystem::create_directories(record / "in the way");
  engine_->stop(spec.id, "UserInitiated", "enough");
  seen_->wait_state(spec.id, TaskState::Stopping);
  std::filesystem::remove_all(record);
  for (int i = 0; i < 1000 && !std::filesystem::is_regular_file(record); ++i) std::this_thread::sleep_for(Millis(10));
  drop_engine();
  start_engine();
  ASSERT_EQ(recovered_.size(), 1U);
  EXPECT_EQ(recovered_[0].stop_reason, "enough");
}

TEST_F(LocalEngineTest, StopSendsSigtermAndThenSigkill) {
  auto polite = shell("polite", "trap 'echo bye; exit 3' TERM; while true; do sleep 0.05; done");
  auto deaf = shell("deaf", "trap '' TERM; while true; do sleep 0.05; done");
  deaf.stop_timeout = Seconds(1);
  auto spec = task({polite, deaf});
  run_until_running(spec);
  std::this_thread::sleep_for(Millis(200));
  engine_->stop(spec.id, "UserInitiated", "Task stopped by user");
  auto status = seen_->wait_state(spec.id, TaskState::Stopped);
  EXPECT_EQ(container(status, "polite").exit_code, 3);
  EXPECT_EQ(container(status, "deaf").exit_code, 137);
  EXPECT_EQ(status.stop_reason, "Task stopped by user");
  EXPECT_EQ(output_of(spec, "polite"), "bye\n");
}

TEST_F(LocalEngineTest, DependenciesOrderStartAndStop) {
  auto loader = shell("loader", "sleep 0.3; echo loaded > /shared/state");
  loader.essential = false;
  auto app = shell("app", "cat /shared/state; trap 'touch /shared/app-ended; exit 0' TERM; while true; do sleep 0.05; done");
  auto sidecar = shell("sidecar", "trap 'ls /shared; exit 0' TERM; while true; do sleep 0.05; done");
  app.depends_on = {{"loader", DependencyCondition::Success}, {"sidecar", DependencyCondition::Start}};
  for (auto* definition : {&loader, &app, &sidecar}) definition->mounts = {{"shared", "/shared", false}};
  auto spec = task({app, sidecar, loader});
  spec.volumes = {{"shared", "", false}};
  run_until_running(spec);
  std::this_thread::sleep_for(Millis(200));
  engine_->stop(spec.id, "UserInitiated", "test");
  seen_->wait_state(spec.id, TaskState::Stopped);
  EXPECT_EQ(output_of(spec, "app"), "loaded\n");
  EXPECT_EQ(output_of(spec, "sidecar"), "app-ended\nstate\n");
}

TEST_F(LocalEngineTest, AFailedDependencyStopsTheTask) {
  auto loader = shell("loader", "exit 1");
  loader.essential = false;
  auto app = shell("app", "echo must not run");
  app.depends_on = {{"loader", DependencyCondition::Success}};
  auto spec = task({app, loader});
  auto status = run_to_end(spec);
  EXPECT_EQ(status.stop_code, "TaskFailedToStart");
  EXPECT_NE(status.stop_reason.find("container app needs container loader to reach SUCCESS, but it exited with code 1"), std::string::npos);
  EXPECT_EQ(output_of(spec, "app"), "");
}

TEST_F(LocalEngineTest, AStartTimeoutEndsWaiting) {
  auto loader = shell("loader", "sleep 60");
  loader.start_timeout = Seconds(1);
  auto app = shell("app", "true");
  app.depends_on = {{"loader", DependencyCondition::Complete}};
  auto status = run_to_end(task({app, loader}));
  EXPECT_NE(status.stop_reason.find("timed out after 1 s"), std::string::npos) << status.stop_reason;
}

TEST_F(LocalEngineTest, HealthIsSeenAndHealthyDependentsWait) {
  auto db = shell("db", "sleep 0.5; touch /tmp/up; sleep 60");
  db.health_check = model::HealthCheck{.command = {"CMD-SHELL", "ls /tmp/up"}, .interval = Seconds(5), .timeout = Seconds(2), .retries = 2};
  auto app = shell("app", "sleep 60");
  app.depends_on = {{"db", DependencyCondition::Healthy}};
  auto spec = task({app, db});
  auto status = run_until_running(spec);
  EXPECT_EQ(container(status, "db").health, Health::Healthy);
  ASSERT_TRUE(container(status, "app").started_at && container(status, "db").started_at);
  EXPECT_GE(*container(status, "app").started_at - *container(status, "db").started_at, Millis(400));
}

TEST_F(LocalEngineTest, AnUnhealthyContainerIsReportedWithTheOutput) {
  auto app = shell("app", "sleep 60");
  app.health_check = model::HealthCheck{.command = {"CMD-SHELL", "echo not well; exit 1"}, .interval = Seconds(1), .timeout = Seconds(2), .retries = 2};
  auto spec = task({app});
  engine_->run(spec);
  auto status = seen_->wait(spec.id, [](const auto& each) { return each.containers[0].health == Health::Unhealthy; });
  EXPECT_EQ(container(status, "app").health_output, "not well\n");
  EXPECT_EQ(status.state, TaskState::Running);
}

TEST_F(LocalEngineTest, OutOfMemoryIsNamed) {
  auto app = shell("app", "x=$(head -c 80000000 /dev/zero | tr '\\0' x); echo survived");
  app.memory_mib = 24;
  auto spec = task({app});
  auto status = run_to_end(spec);
  EXPECT_EQ(container(status, "app").reason, "OutOfMemoryError: Container killed due to memory usage") << output_of(spec, "app");
}

TEST_F(LocalEngineTest, TheTaskAsAWholeHasALimitToo) {
  auto spec = task({shell("app", "x=$(head -c 80000000 /dev/zero | tr '\\0' x); echo survived")});
  spec.memory_mib = 24;
  spec.cpu_units = 256;
  auto status = run_to_end(spec);
  EXPECT_EQ(container(status, "app").reason, "OutOfMemoryError: Container killed due to memory usage") << output_of(spec, "app");
}

TEST_F(LocalEngineTest, StdoutCanBeOpenedByNameWhoeverTheUserIs) {
  auto root = shell("root", "echo by root > /dev/stdout; echo err > /proc/self/fd/2");
  auto web = shell("web", "echo by web > /dev/stdout; echo err > /dev/stderr");
  web.user = "web";
  auto spec = task({root, web});
  run_to_end(spec);
  EXPECT_EQ(output_of(spec, "root"), "by root\nerr\n");
  EXPECT_EQ(output_of(spec, "web"), "by web\nerr\n");
}

TEST_F(LocalEngineTest, ContainersDieBeforeTheirShimWhenTheMachineRunsOutOfMemory) {
  auto spec = task({shell("app", "cat /proc/self/oom_score_adj; sleep 60")});
  run_until_running(spec);
  for (int i = 0; i < 500 && output_of(spec, "app").empty(); ++i) std::this_thread::sleep_for(Millis(10));
  EXPECT_EQ(output_of(spec, "app"), "0\n");
  auto executed = engine_->exec(spec.id, "app", {"/bin/cat", "/proc/self/oom_score_adj"}, Seconds(5));
  ASSERT_TRUE(executed);
  EXPECT_EQ(executed->output, "0\n");
}

TEST_F(LocalEngineTest, LotsOfOutputArrivesWhole) {
  auto spec = task({shell("app", "i=0; while [ $i -lt 20 ]; do head -c 5000000 /dev/zero | tr '\\0' x; echo; i=$((i+1)); done; echo end")});
  auto begin = std::chrono::steady_clock::now();
  run_to_end(spec);
  auto took = std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - begin);
  auto output = output_of(spec, "app");
  EXPECT_EQ(output.size(), 20U * 5000001 + 4);
  EXPECT_TRUE(output.ends_with("x\nend\n"));
  std::printf("100 MB of output in %lld ms\n", static_cast<long long>(took.count()));
}

TEST_F(LocalEngineTest, VolumesAreFilledFromTheImageAndShared) {
  auto first = shell("app", "cat /data/seed; stat -c %u:%g /data; touch /data/left-behind; echo once > /data/seed");
  first.mounts = {{"db", "/data", false}};
  auto spec = task({first});
  spec.volumes = {{"db", "", true}};
  run_to_end(spec);
  EXPECT_EQ(output_of(spec, "app"), "from the image\n1000:1001\n");
  auto second = first;
  second.command = {"/bin/sh", "-c", "cat /data/seed; ls /data; touch /data/x 2>&1 || echo read only"};
  second.mounts[0].read_only = true;
  auto later = task({second});
  later.volumes = spec.volumes;
  run_to_end(later);
  EXPECT_EQ(output_of(later, "app"), "once\nleft-behind\nseed\ntouch: /data/x: Read-only file system\nread only\n");
  auto own = task({first});
  own.volumes = {{"db", "", false}};
  run_to_end(own);
  EXPECT_EQ(output_of(own, "app"), "from the image\n1000:1001\n");
}

TEST_F(LocalEngineTest, AHostPathIsBoundWithTheOwnersThatItHas) {
  std::filesystem::create_directories(root_ / "share");
  auto app = shell("app", "stat -c %u /share; touch /share/mine");
  app.mounts = {{"share", "/share", false}};
  auto spec = task({app});
  spec.volumes = {{"share", (root_ / "share").string(), false}};
  run_to_end(spec);
  EXPECT_EQ(output_of(spec, "app"), "0\n");
  EXPECT_TRUE(std::filesystem::exists(root_ / "share/mine"));
}

TEST_F(LocalEngineTest, AReadOnlyRootCannotBeWritten) {
  auto app = shell("app", "touch /x || echo no; touch /dev/shm/x && echo yes");
  app.read_only_root = true;
  auto spec = task({app});
  run_to_end(spec);
  EXPECT_EQ(output_of(spec, "app"), "touch: /x: Read-only file system\nno\nyes\n");
}

TEST_F(LocalEngineTest, APrivilegedContainerIsRoot) {
  auto app = shell("app", "cat /proc/self/uid_map; mount -t tmpfs x /tmp && echo mounted");
  app.privileged = true;
  auto spec = task({app});
  run_to_end(spec);
  EXPECT_EQ(output_of(spec, "app"), "         0          0 4294967295\nmounted\n");
}

TEST_F(LocalEngineTest, AnInitProcessPassesSignalsOnAndReaps) {
  auto app = shell("app", "ps; trap 'exit 5' TERM; while true; do sleep 0.05; done");
  app.linux_parameters = model::LinuxParameters{.init_process = true};
  auto spec = task({app});
  run_until_running(spec);
  std::this_thread::sleep_for(Millis(300));
  engine_->stop(spec.id, "UserInitiated", "test");
  auto status = seen_->wait_state(spec.id, TaskState::Stopped);
  EXPECT_EQ(container(status, "app").exit_code, 5);
  EXPECT_NE(output_of(spec, "app").find("1 root     /dev/init init"), std::string::npos) << output_of(spec, "app");
}

TEST_F(LocalEngineTest, APseudoTerminalIsOneToTheProgram) {
  auto app = shell("app", "test -t 1 && echo terminal");
  app.pseudo_terminal = true;
  auto spec = task({app});
  run_to_end(spec);
  EXPECT_EQ(output_of(spec, "app"), "terminal\r\n");
}

TEST_F(LocalEngineTest, ExecRunsInTheContainer) {
  auto app = shell("app", "cd /tmp; sleep 60");
  app.environment = {{"A", "b"}};
  auto spec = task({app});
  run_until_running(spec);
  auto done = engine_->exec(spec.id, "app", {"/bin/sh", "-c", "echo $A; echo err >&2; exit 4"}, Seconds(5));
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->exit_code, 4);
  EXPECT_EQ(done->output, "b\nerr\n");
  auto slow = engine_->exec(spec.id, "app", {"/bin/sh", "-c", "sleep 50; echo"}, Seconds(1));
  ASSERT_FALSE(slow);
  EXPECT_EQ(slow.error().code, Code::DeadlineExceeded);
  EXPECT_FALSE(engine_->exec(spec.id, "missing", {"true"}, Seconds(1)));
}

TEST_F(LocalEngineTest, NamesOfItsNamespaceAreWrittenIntoTheRunningTask) {
  engine_->set_names("vpc-test", "apps", {{"api", {"172.31.9.9"}}});
  auto spec = task({shell("app", "sleep 60")});
  spec.names_namespace = "apps";
  run_until_running(spec);
  auto before = engine_->exec(spec.id, "app", {"/bin/cat", "/etc/hosts"}, Seconds(5));
  ASSERT_TRUE(before) << before.error().message;
  EXPECT_NE(before->output.find("172.31.9.9 api\n"), std::string::npos) << before->output;
  engine_->set_names("vpc-test", "others", {{"api", {"172.31.9.12"}}});
  engine_->set_names("vpc-test", "apps", {{"db", {"172.31.9.10", "172.31.9.11"}}});
  auto after = engine_->exec(spec.id, "app", {"/bin/cat", "/etc/hosts"}, Seconds(5));
  ASSERT_TRUE(after);
  EXPECT_EQ(after->output, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n172.31.5.10 ip-172-31-5-1\n172.31.9.10 db\n172.31.9.11 db\n");
}

TEST_F(LocalEngineTest, RunningTwiceIsRunningOnce) {
  auto spec = task({shell("app", "echo once; sleep 60")});
  engine_->run(spec);
  engine_->run(spec);
  seen_->wait_state(spec.id, TaskState::Running);
  engine_->run(spec);
  for (int i = 0; i < 500 && output_of(spec, "app").empty(); ++i) std::this_thread::sleep_for(Millis(10));
  std::this_thread::sleep_for(Millis(100));
  EXPECT_EQ(output_of(spec, "app"), "once\n");
}

TEST_F(LocalEngineTest, ForgettingLeavesNothing) {
  auto spec = task({shell("app", "touch /written")});
  run_to_end(spec);
  EXPECT_TRUE(std::filesystem::exists(root_ / "tasks" / spec.id));
  engine_->forget(spec.id);
  for (int i = 0; i < 100 && std::filesystem::exists("/run/watari-" + root_id_ + "/tasks/" + spec.id); ++i)
    std::this_thread::sleep_for(Millis(10));
  EXPECT_FALSE(std::filesystem::exists(root_ / "tasks" / spec.id));
  EXPECT_FALSE(std::filesystem::exists("/run/watari-" + root_id_ + "/tasks/" + spec.id));
}

TEST_F(LocalEngineTest, SecretsLieOnMemoryOnlyAndGoWithTheTask) {
  auto spec = task({shell("app", "sleep 60")});
  spec.containers[0].secrets = {{"PASSWORD", "geheim-8472"}};
  run_until_running(spec);
  auto grep = "grep -rqs geheim-8472 ";
  EXPECT_NE(std::system((grep + root_.string()).c_str()), 0);
  EXPECT_EQ(std::system((grep + ("/run/watari-" + root_id_)).c_str()), 0);
  stop_and_forget(spec.id);
  for (int i = 0; i < 100 && std::filesystem::exists("/run/watari-" + root_id_ + "/tasks/" + spec.id); ++i)
    std::this_thread::sleep_for(Millis(10));
  EXPECT_NE(std::system((grep + ("/run/watari-" + root_id_)).c_str()), 0);
}

TEST_F(LocalEngineTest, FiftyTasksStartAtOnce) {
  std::vector<TaskSpec> specs;
  for (int i = 0; i < 50; ++i) specs.push_back(task({shell("app", "sleep 60")}));
  auto begin = std::chrono::steady_clock::now();
  for (const auto& spec : specs) engine_->run(spec);
  for (const auto& spec : specs)
    ASSERT_EQ(seen_->wait(spec.id, [](const auto& each) { return each.state >= TaskState::Running; }, 60).state, TaskState::Running);
  auto took = std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - begin);
  RecordProperty("milliseconds", std::to_string(took.count()));
  std::printf("50 tasks running after %lld ms\n", static_cast<long long>(took.count()));
}

TEST_F(LocalEngineTest, StartingTakesLittleTime) {
  std::vector<Millis> times;
  for (int i = 0; i < 10; ++i) {
    auto spec = task({shell("app", "sleep 60")});
    auto begin = std::chrono::steady_clock::now();
    run_until_running(spec);
    times.push_back(std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - begin));
    stop_and_forget(spec.id);
  }
  std::ranges::sort(times);
  std::printf("run() to Running: median %lld ms, best %lld, worst %lld\n", static_cast<long long>(times[5].count()),
              static_cast<long long>(times.front().count()), static_cast<long long>(times.back().count()));
  EXPECT_LT(times.front(), Millis(1000));
}

}  // namespace
}  // namespace watari::engine
