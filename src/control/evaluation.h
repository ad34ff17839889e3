#pragma once
// Private to control/: what Control remembers between evaluations. All of it can be lost: a new Control asks and tells again.
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "control/control.h"
#include "control/resting.h"
#include "plan/snapshot.h"

namespace watari::control {

struct Control::Evaluation {
  explicit Evaluation(Control& owner) : control(owner) {}

  // --- one evaluation, in order (evaluation.cc) ---
  Result<void> decide();  // one transaction: inbox, plans, bookkeeping of stopped tasks
  void absorb_inbox();
  void absorb(const model::TaskStatus& status);
  void plan_services();
  void keep_books();
  bool has_clients(const model::Task& task) const;
  void collect_garbage();

  // --- snapshots and plans (snapshot.cc, apply.cc) ---
  using TasksOfService = std::map<std::string, std::vector<const model::Task*>>;
  TasksOfService tasks_by_service() const;
  plan::ServiceSnapshot snapshot_of(const model::Service& service, const std::vector<const model::Task*>& tasks) const;
  void apply(const plan::ServiceSnapshot& snapshot, const plan::Plan& plan);
  std::uint64_t balancing_version() const;
  std::span<const model::TargetHealth> health_of(const std::string& target_group) const;
  bool settled() const;
  bool fresh() const;

  // --- what the world is told, after the commit (effects.cc) ---
  void carry_out();
  void add_certificate(const std::string& arn);
  void add_namespace(const std::string& vpc);
  void tell_balancer();
  void tell_security();
  void tell_names();
  void tell_engine();
  void launch(const model::Task& task);
  std::string vpc_namespace(const std::string& vpc);

  // --- lifecycle hooks (hooks.cc) ---
  void follow_hooks(const std::string& key);
  bool follow_hook_task(const model::Deployment& deployment, model::HookRun& run, const HookPlace& place);
  bool other_hook_task_runs(const model::Deployment& deployment) const;
  void end_hook_tasks();
  void call_hooks();
  void hear_hook(const std::string& key, const std::string& id, const HookAnswer& answer);

  void wake_at(Time time);
  void arm_timer();

  Control& control;

  std::vector<model::TaskStatus> inbox;
  std::vector<model::TargetHealth> health;  // as the balancer told it last, by target group
  std::optional<Time> health_at;

  bool started = false, scheduled = false;
  std::optional<Time> wake;
  std::optional<Scheduler::TimerId> timer;
  std::optional<Time> garbage_at;
  std::set<std::string> draining;        // keys of the targets that leave
  SharedMap<model::Target> looked_at;    // the targets of which it holds them

  Resting resting;
  std::vector<std::string> under_way;  // keys of the deployments that the last evaluation moved
  std::set<std::string> calling;       // ids of hook runs that are being called

  std::set<std::string> known;      // task ids that the engine has heard of
  std::set<std::string> stopping;   // engine.stop() was called
  std::set<std::string> forgotten;  // engine.forget() was called, the row does not say so yet
  std::map<std::string, std::string> namespaces;  // of VPCs

  std::optional<std::uint64_t> balancing_told, security_told;  // versions of the tables
  balancer::Snapshot balancing;                           // what the balancer was told
  SharedMap<model::Certificate> certificates_told;        // what its certificates were made of
  bool namespaces_told = false;                           // its namespaces are whole
  std::uint64_t applied = 0, flushed = 0;                      // counts of balancer.apply() and of those in effect
  Time flushed_at{};
  // (VPC, namespace) -> name -> addresses
  std::map<std::pair<std::string, std::string>, std::map<std::string, std::vector<std::string>>> names_told;
};

}  // namespace watari::control
