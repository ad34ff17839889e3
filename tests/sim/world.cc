#include "world.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "base/random_source.h"
#include "control/alarms.h"
#include "control/clusters.h"
#include "control/code_deploy.h"
#include "control/network.h"
#include "control/services.h"
#include "control/tasks.h"
#include "metrics/store.h"
#include "plan/reconcile.h"

namespace watari::sim {

using model::TaskState;

namespace {

const model::Scope kScope{"123456789012", "us-east-1"};
const model::Metric kErrors{"Shop", "Errors", {}};
const std::string kRule = "arn:rule/1", kBlue = "arn:targetgroup/blue", kGreen = "arn:targetgroup/green";

std::string target_name(const std::string& group, const std::string& address) { return group + " " + address; }

}  // namespace

Jobs::TimerId Jobs::after(Millis delay, async::Job job) {
  timers.emplace(std::pair(world_.clock.now() + delay, next_), std::move(job));
  return next_++;
}

// --- engine ------------------------------------------------------------------------------------------------------------------

Result<std::vector<model::TaskStatus>> FakeEngine::recover(Observer new_observer) {
  observer = std::move(new_observer);
  std::vector<model::TaskStatus> out;
  for (const auto& [id, task] : tasks) out.push_back(task.status);
  return out;
}

void FakeEngine::report(const std::string& task) {
  if (auto found = tasks.find(task); found != tasks.end() && observer) observer(found->second.status);
}

void FakeEngine::end(const std::string& id, int exit_code) {
  auto found = tasks.find(id);
  if (found == tasks.end() || found->second.status.state == TaskState::Stopped) return;
  auto& task = found->second;
  task.status.state = TaskState::Stopped;
  task.status.stopped_at = world_.clock.now();
  for (auto& container : task.status.containers) {
    container.state = model::ContainerState::Stopped;
    container.exit_code = exit_code;
  }
  if (task.status.stop_code.empty()) {
    task.status.stop_code = "EssentialContainerExited";
    task.status.stop_reason = "Essential container in task exited";
  }
  world_.note("task " + id.substr(0, 6) + " ended with " + std::to_string(exit_code));
  report(id);
  world_.balancer.probe();
}

void FakeEngine::run(engine::TaskSpec spec) {
  world_.maybe_die();
  if (tasks.contains(spec.id)) return;
  auto id = spec.id;
  Running task;
  task.address = spec.network.address;
  task.behaviour = static_cast<Behaviour>(spec.containers.at(0).image_digest.back() - '0');
  if (auto spoiled = world_.spoiled_.find(spec.labels.at("family") + ":" + spec.labels.at("revision")); spoiled != world_.spoiled_.end())
    task.behaviour = spoiled->second;
  task.status.task = id;
  task.status.state = TaskState::Pending;
  task.status.containers.push_back({.name = "app", .image_digest = spec.containers[0].image_digest});
  tasks[id] = task;
  world_.note("task " + id.substr(0, 6) + " runs at " + task.address);

  world_.check_migrations();
  world_.check_queue();
  // maximumPercent holds whenever a task of the service starts. (A migration may, while a scale-in is still under way.)
  if (world_.setup.configuration.strategy == model::Strategy::Rolling && !spec.labels.at("service").empty()) {
    int desired = world_.service().desired_count;
    int limit = std::max(1, desired * world_.setup.configuration.maximum_percent / 100);
    int wanted = 0, alive = 0;
    for (const auto& live : world_.live_tasks()) {
      if (live.service.empty()) continue;
      ++alive;
      if (!live.desired_stopped) ++wanted;
    }
    bool strict = world_.setup.configuration.maximum_percent <= 100;
    // A scale-in may just have lowered the limit under what is still leaving: only what is wanted counts then.
    if (wanted > limit && desired > 0) world_.complain(fmt::format("{} tasks wanted, the limit is {}", wanted, limit));
    if (strict && desired > 0 && alive > limit && !world_.setup.crashes)
      world_.complain(fmt::format("{} copies at once, the limit is {}", alive, limit));
  }

  auto pending = Millis(100 + world_.random(3000));
  auto when = tasks[id].behaviour;
  if (when == Behaviour::FailsToStart) return world_.later(pending, [this, id] { end(id, 127); });
  world_.later(pending, [this, id, when] {
    auto found = tasks.find(id);
    if (found == tasks.end() || found->second.status.state != TaskState::Pending) return;
    auto& status = found->second.status;
    status.state = TaskState::Running;
    status.started_at = world_.clock.now();
    status.containers[0].state = model::ContainerState::Running;
    report(id);
    if (when == Behaviour::Migration) {
      int code = world_.faults && world_.chance(10) ? 1 : 0;
      return world_.later(Millis(100 + world_.random(60000)), [this, id, code] { end(id, code); });
    }
    if (when == Behaviour::ExitsAtOnce) return world_.later(Millis(world_.random(1500)), [this, id] { end(id, 1); });
    if (when == Behaviour::CrashesLater) world_.later(Millis(4000 + world_.random(60000)), [this, id] { end(id, 1); });
    if (when == Behaviour::Good && world_.setup.crashes && world_.faults && world_.chance(20))
      world_.later(Millis(1000 + world_.random(600000)), [this, id] { if (world_.faults) end(id, 137); });
    world_.later(Millis(200 + world_.random(4000)), [this, id, when] {
      auto running = tasks.find(id);
      if (running == tasks.end() || running->second.status.state != TaskState::Running) return;
      if (world_.setup.health_check)
        running->second.status.containers[0].health =
            when == Behaviour::NeverHealthy ? model::Health::Unhealthy : model::Health::Healthy;
      report(id);
      world_.balancer.probe();
    });
  });
}

void FakeEngine::stop(const std::string& id, std::string stop_code, std::string reason) {
  world_.maybe_die();
  auto found = tasks.find(id);
  if (found == tasks.end()) return;
  auto& task = found->second;
  if (task.stopping || task.status.state == TaskState::Stopped) return;
  for (const auto& [key, target] : world_.balancer.effective.targets) {
    if (target.address != task.address) continue;
    if (!target.draining_until)
      world_.complain("task " + id + " is stopped while it is a target that is not draining");
    else if (world_.balancer.in_flight[task.address] > 0 && world_.clock.now() < *target.draining_until)
      world_.complain("task " + id + " is stopped with requests in flight");
  }
  task.stopping = true;
  task.status.stop_code = std::move(stop_code);
  task.status.stop_reason = std::move(reason);
  task.status.stopping_at = world_.clock.now();
  task.status.state = TaskState::Stopping;
  report(id);
  world_.later(Millis(50 + world_.random(5000)), [this, id] { end(id, 143); });
}

void FakeEngine::forget(const std::string& id) {
  world_.maybe_die();
  auto found = tasks.find(id);
  if (found == tasks.end()) return;
  if (found->second.status.state != TaskState::Stopped) return world_.complain("a task that runs is forgotten");
  tasks.erase(found);
}

// Does the application behind the address answer well right now?
bool FakeEngine::serves(const std::string& address) const {
  return std::ranges::any_of(tasks, [&](const auto& entry) {
    const auto& task = entry.second;
    bool good = task.behaviour == Behaviour::Good || task.behaviour == Behaviour::CrashesLater;
    return task.address == address && task.status.state == TaskState::Running && good;
  });
}

// --- balancer ----------------------------------------------------------------------------------------------------------------

void FakeBalancer::apply(balancer::Snapshot snapshot) {
  world_.maybe_die();
  auto number = ++applied;
  world_.later(Millis(1 + world_.random(300)), [this, number, snapshot = std::move(snapshot)] {
    if (number < in_effect) return;
    in_effect = number;
    take_effect(snapshot);
    world_.later(Millis(5), [this] { answer_flushes(); });
  });
}

void FakeBalancer::flush(std::function<void()> done) {
  world_.maybe_die();
  waiting_.push_back({applied, world_.kills, std::move(done)});
  world_.later(Millis(5), [this] { answer_flushes(); });
}

// Those whose snapshot is in effect; a daemon that was killed gets no answer.
void FakeBalancer::answer_flushes() {
  auto asked = std::exchange(waiting_, {});
  for (auto& flush : asked) {
    if (flush.life != world_.kills) continue;
    if (flush.wanted <= in_effect) flush.done();
    else waiting_.push_back(std::move(flush));
  }
}

int FakeBalancer::serving(const balancer::Snapshot& snapshot) const {
  int count = 0;
  for (const auto& [arn, rule] : snapshot.rules)
    for (const auto& forward : rule.action.forward) {
      if (forward.weight == 0) continue;
      for (const auto& [key, target] : snapshot.targets)
        if (target.target_group == forward.target_group && !target.draining_until && world_.engine.serves(target.address)) ++count;
    }
  return count;
}

void FakeBalancer::take_effect(balancer::Snapshot snapshot) {
  int before = serving(effective), after = serving(snapshot);
  // Without random crashes, whatever control decides must leave something that serves.
  // (At minimum 0 and maximum 100 percent that is what was asked for: a stateful task stops before the next one starts.)
  const auto& limits = world_.setup.configuration;
  bool stop_first = limits.minimum_healthy_percent == 0 && limits.maximum_percent <= 100;
  if (before > 0 && after == 0 && !stop_first && !world_.setup.crashes && world_.service().desired_count > 0 &&
      world_.service().status == "ACTIVE")
    world_.complain("nothing serves any more after a change of targets or weights");
  effective = std::move(snapshot);
  for (const auto& [key, target] : effective.targets) {
    if (!target.draining_until && !in_flight.contains(target.address)) in_flight[target.address] = world_.random(3);
    if (!target.draining_until) continue;
    // Its requests end by themselves.
    auto address = target.address;
    world_.later(Millis(world_.random(4000)), [this, address] {
      in_flight[address] = 0;
      probe();
    });
  }
  probe();
}

void FakeBalancer::probe() {
  std::vector<model::TargetHealth> report;
  std::string text;
  std::set<std::string> attached;
  for (const auto& [arn, rule] : effective.rules)
    for (const auto& forward : rule.action.forward) attached.insert(forward.target_group);
  for (const auto& [key, target] : effective.targets) {
    auto name = target_name(target.target_group, target.address);
    model::TargetHealth health{target.target_group, target.address, target.port, model::TargetState::Initial, {}, {}, 0};
    health.in_flight = in_flight[target.address];
    auto& state = states[name];
    if (target.draining_until) {
      health.state = model::TargetState::Draining;
    } else if (!attached.contains(target.target_group)) {
      health.state = model::TargetState::Unused;
    } else {
      bool serves = world_.engine.serves(target.address);
      // A check needs a while to change its mind.
      auto wanted = serves ? model::TargetState::Healthy : model::TargetState::Unhealthy;
      if (state != wanted)
        world_.later(Millis(500 + world_.random(2500)), [this, name, address = target.address] {
          auto now = world_.engine.serves(address) ? model::TargetState::Healthy : model::TargetState::Unhealthy;
          if (std::exchange(states[name], now) != now) probe();
        });
      health.state = state;
      if (health.state == model::TargetState::Unhealthy) health.description = "HTTP status 503 after 4 ms: no";
    }
    text += name + " " + std::string(name_of(health.state)) + " " + std::to_string(health.in_flight) + "\n";
    report.push_back(std::move(health));
  }
  if (text != last_report_ && observer) observer(report);
  last_report_ = text;
}

// --- world -------------------------------------------------------------------------------------------------------------------

World::World(std::uint32_t seed, Scenario wanted) : setup(std::move(wanted)), generator_(seed) {
  char name[] = "/dev/shm/watari-sim-XXXXXX";
  directory_ = ::mkdtemp(name);
  repeat_random(seed);
  open();
  make_network_and_balancer();
  model::TaskDefinition migrate{.scope = kScope, .family = kMigrate};
  migrate.containers.emplace_back();
  migrate.containers[0].name = "app";
  migrate.containers[0].image = kMigrate;
  EXPECT_TRUE(control::register_task_definition(*control_, migrate));
  make_alarm();
  create_service(register_revision(Behaviour::Good));
}

World::~World() {
  control_.reset();
  repeat_random(std::nullopt);
  std::filesystem::remove_all(directory_);
}

void World::note(std::string what) {
  story_.push_back(fmt::format("{:9.3f} {}", static_cast<double>((clock.now() - Time(Seconds(1'700'000'000))).count()) / 1000, what));
}

std::string World::story() const {
  std::string out;
  for (std::size_t i = story_.size() > 150 ? story_.size() - 150 : 0; i < story_.size(); ++i) out += story_[i] + "\n";
  return out;
}

void World::complain(std::string what) {
  note("!!! " + what);
  complaints.push_back(std::move(what));
}

void World::later(Millis delay, std::function<void()> event) { events_.emplace(clock.now() + delay, std::move(event)); }

void World::maybe_die() {
  if (faults && setup.kills && dying_ && chance(3)) throw Killed{};
}

template <class F>
void World::guarded(F&& work) {
  dying_ = true;
  try {
    work();
    watch();
  } catch (const Killed&) {
    dying_ = false;
    kill();
  }
  dying_ = false;
}

void World::open() {
  auto opened = control::Control::open({.root = directory_, .measure_every = Seconds(20)}, clock, jobs);
  if (!opened) throw std::runtime_error(opened.error().message);
  control_ = std::move(*opened);
  balancer.observer = [this](auto health) { control_->observe(std::move(health)); };
  control::Ports ports;
  ports.engine = &engine;
  ports.balancer = &balancer;
  ports.call_hook = [this](control::HookCall call, auto done) { call_hook(std::move(call), std::move(done)); };
  ports.image_digest = [this](const std::string& image) -> Result<std::string> {
    if (image == kMigrate) return "sha256:" + std::to_string(static_cast<int>(Behaviour::Migration));
    auto behaviour = behaviours_.at(std::stoi(image));
    if (behaviour == Behaviour::MissingImage) return fail(Code::NotFound, "no image {}", image);
    return "sha256:" + std::to_string(static_cast<int>(behaviour));
  };
  auto started = control_->start(ports);
  if (!started) throw std::runtime_error(started.error().message);
}

// Answers after a while, or never; a daemon that was killed hears nothing.
void World::call_hook(control::HookCall call, std::function<void(control::HookAnswer)> done) {
  maybe_die();
  using Kind = control::HookAnswer::Kind;
  static constexpr Kind kinds[] = {Kind::Succeeded, Kind::Succeeded, Kind::Succeeded, Kind::Succeeded, Kind::Succeeded, Kind::InProgress,
                                   Kind::InProgress, Kind::Unreachable, Kind::Unreachable, Kind::Failed};
  if (faults && chance(3)) return note("hook " + call.run.id + " hangs");
  auto kind = faults ? kinds[random(10)] : Kind::Succeeded;
  note(fmt::format("hook {} at {} answers {}", call.run.id, name_of(call.run.stage), static_cast<int>(kind)));
  later(Millis(10 + random(8000)), [this, kind, delay = Seconds(1 + random(60)), life = kills, done = std::move(done)] {
    if (life == kills) done({.kind = kind, .reason = "so it said", .delay = delay});
  });
}

// A run has one task at most, and those of two deployments never run side by side.
void World::check_migrations() {
  std::map<std::string, int> tasks_of_run;
  std::set<std::string> deployments_alive;
  std::map<std::string, std::string> run_of_task;
  for (const auto& deployment : deployments())
    for (const auto& run : deployment.hook_runs)
      if (!run.task.empty()) run_of_task[run.task] = run.id;
  for (const auto& [key, task] : control_->state().tasks.list()) {
    if (task.family != kMigrate) continue;
    if (!run_of_task.contains(task.id)) complain("task " + task.id + " of a hook belongs to no run");
    else if (++tasks_of_run[run_of_task[task.id]] > 1) complain("hook " + run_of_task[task.id] + " ran twice");
    if (task.status.state != TaskState::Stopped) deployments_alive.insert(task.started_by);
  }
  if (deployments_alive.size() > 1) complain("migrations of two deployments run side by side");
}

void World::kill() {
  note("--- the daemon is killed");
  ++kills;
  jobs.queue.clear();
  jobs.timers.clear();
  engine.observer = nullptr;
  balancer.observer = nullptr;
  control_.reset();
  open();
  // The new daemon's balancer adopts HAProxy and tells what it finds.
  balancer.last_report_.clear();
  later(Millis(200), [this] { balancer.probe(); });
}

void World::make_network_and_balancer() {
  auto& state = control_->state();
  ASSERT_TRUE(control::ensure_default_network(control_->database(), state, kScope));
  ASSERT_TRUE(control_->commit([&]() -> Result<void> {
    for (const auto& arn : {kBlue, kGreen}) {
      model::TargetGroup group{.scope = kScope, .arn = arn, .name = arn};
      group.vpc = control::default_vpc(state, kScope)->id;
      group.deregistration_delay = Seconds(60);
      state.target_groups.put(arn, group);
    }
    model::Rule rule{.arn = kRule, .listener = "arn:listener/1"};
    rule.action.forward = {{kBlue, 1}};
    state.rules.put(kRule, rule);
    return {};
  }));
  ASSERT_TRUE(control::ensure_cluster(*control_, kScope, "default"));
}

void World::make_alarm() {
  model::Alarm alarm{.scope = kScope, .name = kAlarm, .metric = kErrors, .statistic = "Sum"};
  alarm.threshold = 10;
  alarm.comparison = model::Comparison::Greater;
  EXPECT_TRUE(control::put_alarm(*control_, alarm));
}

void World::set_alarm(bool on) {
  note(on ? "the alarm goes off" : "the alarm is over");
  EXPECT_TRUE(control::set_alarm_state(*control_, kScope, kAlarm, on ? "ALARM" : "OK", "by hand", ""));
}

void World::count_errors(int count) {
  note(fmt::format("{} errors", count));
  EXPECT_TRUE(control_->metrics().add(kScope, kErrors, "Count", clock.now(), metrics::totals(count, count, 1, 1)));
}

void World::deploy(int revision) {
  auto current = service();
  auto next = current.target;
  next.revision = revision;
  model::CodeDeployment code{.id = control::new_code_deployment_id(), .rollback_id = control::new_code_deployment_id()};
  auto made = control_->commit([&] {
    return control::enqueue_deployment(*control_, control::service_key(current), next, setup.configuration, code);
  });
  ASSERT_TRUE(made) << made.error().message;
  watch();
  note(fmt::format("{} deploys revision {} ({})", made->id, revision, static_cast<int>(behaviours_.at(revision))));
}

void World::stop_some_deployment() {
  std::vector<model::Deployment> candidates;
  for (auto& deployment : deployments())
    if (deployment.status == model::DeploymentStatus::Pending || deployment.status == model::DeploymentStatus::InProgress) candidates.push_back(deployment);
  if (candidates.empty()) return;
  const auto& chosen = candidates[static_cast<std::size_t>(random(static_cast<int>(candidates.size())))];
  bool waits = chosen.target.id != service().target.id;
  int way = random(3);
  note(fmt::format("{} is stopped{}, way {}", chosen.id, waits ? " in the queue" : "", way));
  auto key = control::deployment_key(chosen);
  if (way == 0) EXPECT_TRUE(control::stop_code_deployment(*control_, key, chance(50)));
  else EXPECT_TRUE(control::stop_deployment(*control_, key, way == 1));
  if (!waits) return;
  stopped_in_queue_.insert(chosen.target.id);
  EXPECT_EQ(control_->state().deployments.get(key)->status, model::DeploymentStatus::Stopped) << story();
}

// One deployment at a time, in the order in which they were made; what was stopped before its turn never runs.
void World::check_queue() {
  if (!setup.queued) return;
  bool under_way = false;
  for (const auto& deployment : deployments()) {
    bool begun = control::in_progress(deployment.status) && deployment.status != model::DeploymentStatus::Pending;
    if (begun && under_way) complain("two deployments are under way");
    under_way |= control::in_progress(deployment.status);
  }
  for (const auto& task : live_tasks())
    if (stopped_in_queue_.contains(task.service_revision)) complain("a task runs of a deployment that was stopped in the queue");
}

void World::pause_at(model::LifecycleHook hook) {
  control::ServiceUpdate update;
  update.configuration = service().configuration;
  update.configuration->hooks = {std::move(hook)};
  EXPECT_TRUE(control::update_service(*control_, control::service_key(kScope, "default", "web"), update));
}

void World::continue_deployment(model::HookAction action) {
  auto deployment = deployments().back();
  auto done = control::continue_deployment(*control_, control::deployment_key(deployment), "", action);
  note(fmt::format("{} is {} by hand", deployment.id, done ? name_of(action) : "not continued"));
}

int World::register_revision(Behaviour behaviour) {
  model::TaskDefinition definition{.scope = kScope, .family = "web"};
  model::ContainerDefinition app;
  app.name = "app";
  app.image = std::to_string(behaviours_.size() + 1);
  app.ports.push_back({.container_port = 80});
  if (setup.health_check) app.health_check = model::HealthCheck{};
  definition.containers.push_back(app);
  auto made = control::register_task_definition(*control_, definition);
  behaviours_[made->revision] = behaviour;
  return made->revision;
}

void World::create_service(int revision) {
  model::Service service{.scope = kScope, .cluster = "default", .name = "web"};
  service.desired_count = setup.desired;
  service.configuration = setup.configuration;
  if (setup.queued) service.controller = "CODE_DEPLOY";
  service.target.family = "web";
  service.target.revision = revision;
  if (!control::complete_placement(control_->state(), kScope, service.target.network)) throw std::runtime_error("placement");
  if (setup.load_balanced) {
    model::ServiceLoadBalancer balancing{.target_group = kBlue, .container = "app", .container_port = 80};
    if (setup.configuration.strategy != model::Strategy::Rolling) {
      balancing.alternate_target_group = kGreen;
      balancing.production_listener_rule = kRule;
    }
    service.target.load_balancers.push_back(balancing);
  }
  auto made = control::create_service(*control_, service);
  if (!made) throw std::runtime_error(made.error().message);
}

void World::update(int revision, bool force) {
  note(fmt::format("update to revision {} ({})", revision, static_cast<int>(behaviours_.at(revision))));
  control::ServiceUpdate update;
  update.task_definition = {"web", revision};
  update.force = force;
  EXPECT_TRUE(control::update_service(*control_, control::service_key(kScope, "default", "web"), update));
  watch();
}

void World::scale(int desired) {
  note(fmt::format("scale to {}", desired));
  control::ServiceUpdate update;
  update.desired_count = desired;
  EXPECT_TRUE(control::update_service(*control_, control::service_key(kScope, "default", "web"), update));
}

void World::stop_some_task() {
  auto tasks = live_tasks();
  if (tasks.empty()) return;
  auto& task = tasks[static_cast<std::size_t>(random(static_cast<int>(tasks.size())))];
  note("somebody stops task " + task.id.substr(0, 6));
  EXPECT_TRUE(control::stop_task(*control_, control::task_key(task), "UserInitiated", "Task stopped by user"));
}

void World::stop_newest(bool rollback) {
  auto newest = deployments().back();
  note(fmt::format("{} deployment {}", rollback ? "roll back" : "abort", newest.id));
  auto done = control::stop_deployment(*control_, control::deployment_key(newest), rollback);
  watch();
  EXPECT_TRUE(done || !control::in_progress(newest.status) || newest.status != model::DeploymentStatus::InProgress) << done.error().message;
}

void World::spoil(int revision, Behaviour behaviour) {
  note(fmt::format("revision {} becomes {}", revision, static_cast<int>(behaviour)));
  spoiled_[fmt::format("web:{}", revision)] = behaviour;
  for (const auto& task : live_tasks())
    if (task.revision == revision) engine.end(task.id, 1);
}

void World::watch() {
  if (!watching) return;
  control_->state().deployments.each("", [&](const std::string&, const model::Deployment& deployment) {
    statuses.insert(deployment.status);
    stages.insert(deployment.stage);
  });
}

void World::delete_service() {
  EXPECT_TRUE(control::delete_service(*control_, control::service_key(kScope, "default", "web"), true));
}

model::Service World::service() { return *control_->state().services.get(control::service_key(kScope, "default", "web")); }
std::vector<model::Deployment> World::deployments() { return control::deployments_of(control_->state(), service()); }

std::vector<model::Task> World::live_tasks() {
  std::vector<model::Task> out;
  for (auto& [key, task] : control_->state().tasks.list())
    if (task.status.state != TaskState::Stopped) out.push_back(task);
  return out;
}

bool World::step(Time until) {
  if (faults && setup.kills && random(2000) == 0) {
    kill();
    return true;
  }
  bool has_event = !events_.empty() && events_.begin()->first <= clock.now();
  bool has_job = !jobs.queue.empty();
  if (has_job && (!has_event || chance(70))) {
    auto job = std::move(jobs.queue.front());
    jobs.queue.pop_front();
    guarded([&] { job(); });
    return true;
  }
  if (has_event) {
    auto event = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    event();
    return true;
  }
  if (!jobs.timers.empty() && jobs.timers.begin()->first.first <= clock.now()) {
    auto job = std::move(jobs.timers.begin()->second);
    jobs.timers.erase(jobs.timers.begin());
    guarded([&] { job(); });
    return true;
  }
  Time next = until + Millis(1);
  if (!events_.empty()) next = std::min(next, events_.begin()->first);
  if (!jobs.timers.empty()) next = std::min(next, jobs.timers.begin()->first.first);
  if (next > until) return false;
  clock.advance(next - clock.now());
  return true;
}

void World::run_for(Millis time) {
  auto until = clock.now() + time;
  long steps = 0;
  while (step(until))
    if (++steps > 3'000'000) {
      complain("control never comes to rest");
      break;
    }
  if (clock.now() < until) clock.advance(until - clock.now());
}

}  // namespace watari::sim
