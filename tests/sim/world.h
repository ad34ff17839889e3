#pragma once
// A world in which Control runs on virtual time: an engine whose tasks start, crash and stop by themselves, a balancer that takes
// its time, and kills of the control plane at any order it gives. Everything follows from one seed.
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "balancer/balancer.h"
#include "control/control.h"
#include "engine/engine.h"

namespace watari::sim {

// Thrown by the fakes in the middle of an order: the daemon got SIGKILL there.
struct Killed {};

// A hook that is a task of this family, an alarm, and a hook behind a URL, for scenarios.
inline constexpr const char *kMigrate = "migrate", *kAlarm = "errors", *kHook = "http://hooks/";

// How the tasks of an image behave.
enum class Behaviour { Good, FailsToStart, ExitsAtOnce, NeverHealthy, CrashesLater, MissingImage, Migration };

class World;

class Jobs final : public control::Scheduler {
 public:
  explicit Jobs(World& world) : world_(world) {}
  void post(async::Job job) override { queue.push_back(std::move(job)); }
  TimerId after(Millis delay, async::Job job) override;
  void cancel(TimerId timer) override { std::erase_if(timers, [&](auto& entry) { return entry.first.second == timer; }); }

  std::deque<async::Job> queue;
  std::map<std::pair<Time, TimerId>, async::Job> timers;

 private:
  World& world_;
  TimerId next_ = 1;
};

class FakeEngine final : public engine::Engine {
 public:
  explicit FakeEngine(World& world) : world_(world) {}
  Result<std::vector<model::TaskStatus>> recover(Observer observer) override;
  void run(engine::TaskSpec spec) override;
  void stop(const std::string& task, std::string stop_code, std::string reason) override;
  void forget(const std::string& task) override;
  void set_names(const std::string&, const std::string&, const std::map<std::string, std::vector<std::string>>&) override {}
  void set_security(const std::string&, const std::vector<model::SecurityGroup>&,
                    const std::map<std::string, std::vector<std::string>>&) override {}
  Result<engine::ExecResult> exec(const std::string&, const std::string&, const std::vector<std::string>&, Seconds) override {
    return fail(Code::Unavailable, "not here");
  }
  Result<std::string> vpc_namespace(const std::string& vpc, const std::string&) override { return "ns-" + vpc; }
  void stop_all() override {}

  struct Running {
    model::TaskStatus status;
    std::string address;
    Behaviour behaviour = Behaviour::Good;
    bool stopping = false;
  };
  void report(const std::string& task);
  void end(const std::string& task, int exit_code);
  bool serves(const std::string& address) const;

  std::map<std::string, Running> tasks;  // until forgotten
  Observer observer;

 private:
  World& world_;
};

class FakeBalancer final : public balancer::Balancer {
 public:
  explicit FakeBalancer(World& world) : world_(world) {}
  void apply(balancer::Snapshot snapshot) override;
  Result<void> check_port(int) override { return {}; }
  void flush(std::function<void()> done) override;
  void stop_all() override {}

  void take_effect(balancer::Snapshot snapshot);
  void probe();  // looks at every target, reports when something changed
  int serving(const balancer::Snapshot& snapshot) const;

  balancer::Snapshot effective;
  std::map<std::string, int> in_flight;              // address
  std::map<std::string, model::TargetState> states;  // "group address"
  std::function<void(std::vector<model::TargetHealth>)> observer;
  std::uint64_t applied = 0, in_effect = 0;

 private:
  friend class World;
  struct Flush {
    std::uint64_t wanted;
    int life;
    std::function<void()> done;
  };
  void answer_flushes();
  World& world_;
  std::vector<Flush> waiting_;
  std::string last_report_;
};

struct Scenario {
  model::DeploymentConfiguration configuration;
  int desired = 2;
  bool load_balanced = true;
  bool health_check = false;
  bool crashes = false;  // good tasks crash now and then, too
  bool kills = true;     // the control plane is killed now and then
  bool queued = false;   // deployments are CodeDeploy's
};

class World {
 public:
  World(std::uint32_t seed, Scenario setup);
  ~World();

  // One thing happens: a job of control, an event of the world, or time passes. False when nothing is left before `until`.
  bool step(Time until);
  void run_for(Millis time);
  void kill();  // the daemon dies and a new one starts on the same database

  int random(int below) { return static_cast<int>(generator_() % static_cast<unsigned>(below)); }
  bool chance(int percent) { return random(100) < percent; }
  void later(Millis delay, std::function<void()> event);
  void maybe_die();  // called by the fakes at every order

  int register_revision(Behaviour behaviour);
  void deploy(int revision);                      // as CodeDeploy does: it waits for its turn
  void stop_some_deployment();                    // any that is under way or waits, through either API
  void count_errors(int count);                   // a metric that trips the alarm above 10 in a minute
  void update(int revision, bool force = false);
  void scale(int desired);
  void stop_some_task();
  void stop_newest(bool rollback);  // the newest deployment, if one is under way
  void delete_service();
  void spoil(int revision, Behaviour behaviour);  // its tasks end, and those that follow behave like this
  void set_alarm(bool on);                        // by hand, as long as nothing is measured
  void pause_at(model::LifecycleHook hook);  // from the next deployment on
  void continue_deployment(model::HookAction action);  // of whatever pauses
  Behaviour behaviour_of(int revision) const { return behaviours_.at(revision); }

  model::Service service();
  std::vector<model::Deployment> deployments();
  std::vector<model::Task> live_tasks();  // not stopped
  control::State& state() { return control_->state(); }

  void complain(std::string what);
  void check_migrations();
  void check_queue();
  std::string story() const;  // what happened, for failed tests

  ManualClock clock{Time(Seconds(1'700'000'000))};
  Jobs jobs{*this};
  FakeEngine engine{*this};
  FakeBalancer balancer{*this};
  Scenario setup;
  std::vector<std::string> complaints;
  bool watching = false;  // what deployments go through
  std::set<model::DeploymentStatus> statuses;
  std::set<model::Stage> stages;
  bool faults = true;  // off while the world calms down
  int kills = 0;

 private:
  friend class FakeEngine;
  friend class FakeBalancer;
  void open();
  void make_network_and_balancer();
  void make_alarm();
  void create_service(int revision);
  void note(std::string what);
  void watch();
  void call_hook(control::HookCall call, std::function<void(control::HookAnswer)> done);
  template <class F>
  void guarded(F&& work);

  std::mt19937 generator_;
  std::filesystem::path directory_;
  std::unique_ptr<control::Control> control_;
  std::multimap<Time, std::function<void()>> events_;
  std::map<int, Behaviour> behaviours_;
  std::vector<std::string> story_;
  std::map<std::string, Behaviour> spoiled_;  // family:revision
  std::set<std::string> stopped_in_queue_;  // ids of revisions that must never run
  bool dying_ = false;
};

}  // namespace watari::sim
