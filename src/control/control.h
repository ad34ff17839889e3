#pragma once
// Control: the state, the commands on it, and the evaluation that makes the world follow the state.
//
//   commit(change) -> SQLite -> evaluate(): inbox -> plan::reconcile per service -> actions into the state -> commit
//                                        -> engine and balancer are told the difference -> observations -> inbox -> …
//
// Everything is written before it is ordered, and orders are idempotent: killed between any two statements, a new Control on
// the same database goes on from there.
//
// Owner: apps/watari. Thread: open() and start() before the loop runs or on it; everything else on the control loop, except
// the two observe() functions. It must outlive the loop's jobs: stop the loop before destroying it.
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "balancer/balancer.h"
#include "base/clock.h"
#include "control/hooks.h"
#include "control/scheduler.h"
#include "control/state.h"
#include "engine/engine.h"

namespace watari::metrics {
class Store;
}  // namespace watari::metrics

namespace watari::control {

class Meter;

struct Options {
  std::filesystem::path root;  // ROOT; watari.db and logs/ lie in it
  double time_scale = 1;       // bake times, shift waits and the periods of alarms are divided by it
  Millis measure_every{1000};  // how often counters are read and alarms judged
};

// What Control drives and asks. The references must outlive it.
struct Ports {
  engine::Engine* engine = nullptr;
  balancer::Balancer* balancer = nullptr;
  // Manifest digest of an image as a task definition names it; NotFound says how to get it. Called on the loop: no waiting.
  std::function<Result<std::string>(const std::string& image)> image_digest;
  // Value of a secret (valueFrom). Called on the loop.
  std::function<Result<std::string>(const model::Scope& scope, const std::string& value_from)> secret;
  // Calls lifecycle hooks behind URLs.
  HookCaller call_hook;
  // Tells whoever stands behind a URL that an alarm has changed its state. Does not block; `done` is called once, on any thread,
  // with what went wrong, or nothing.
  std::function<void(model::Alarm alarm, model::AlarmCall call, std::string url, std::function<void(std::string)> done)> call_alarm_action;
  // Opens what the vault sealed (private keys of certificates). Called on the loop.
  std::function<Result<std::string>(const std::string& sealed, const std::string& context)> unseal;
};

class Control {
 public:
  // Opens ROOT/watari.db and reads it. Errors: those of store::Database::open, and Corrupt.
  static Result<std::unique_ptr<Control>> open(Options options, const Clock& clock, Scheduler& scheduler);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // Takes over what runs: asks the engine to recover, compares with the state, begins to evaluate. Call once, on the loop.
  Result<void> start(Ports ports);

  State& state() { return *state_; }
  store::Database& database() { return *database_; }  // for the tables of other rooms (vault …): Table<T>(database(), "name")
  const Clock& clock() const { return clock_; }
  Time now() const { return clock_.now(); }
  const Options& options() const { return options_; }
  balancer::Balancer* balancer() { return ports_.balancer; }
  metrics::Store& metrics();  // what was measured lately; in memory only (docs/alarms.md)
  engine::Engine* engine() { return ports_.engine; }

  // Runs `change` as one transaction: its writes become durable when it returns a value, and never happened when it
  // returns an error. What changed is evaluated afterwards (not within the call).
  //   return control.commit([&]() -> Result<model::Cluster> { … state().clusters.put(key, cluster); return cluster; });
  template <class Change>
  auto commit(Change&& change) -> decltype(change());

  // What the balancer said last about the targets; empty until it said something (and after a restart).
  std::vector<model::TargetHealth> target_health(const std::string& target_group) const;

  // For commands that make tasks: the manifest digest of an image (CannotPullContainerError in words when there is none).
  Result<std::string> image_digest(const std::string& image) const;

  // Observations; any thread.
  void observe(model::TaskStatus status);
  void observe(std::vector<model::TargetHealth> health);

  // Compares what should be with what is, once. Runs by itself after changes, observations and waits.
  void evaluate();
  void schedule();  // evaluate() soon

 private:
  Control(Options options, const Clock& clock, Scheduler& scheduler);
  struct Evaluation;
  friend struct Evaluation;
  friend class Meter;

  Options options_;
  const Clock& clock_;
  Scheduler& scheduler_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<State> state_;
  Ports ports_;
  std::unique_ptr<Meter> meter_;
  std::unique_ptr<Evaluation> evaluation_;  // what has been told to engine and balancer; nothing of it needs to be kept
};

template <class Change>
auto Control::commit(Change&& change) -> decltype(change()) {
  store::Transaction transaction(*database_);
  auto result = change();
  if (!result) return result;
  TRY_VOID(transaction.commit());
  return result;
}

}  // namespace watari::control
