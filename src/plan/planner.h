#pragma once
// Private to plan/: one pass over a snapshot. Decisions are appended to plan_; service_ and deployment_ are working copies
// that become PutService and PutDeployment at the end when they have changed.
#include <string>
#include <vector>

#include "plan/reconcile.h"

namespace watari::plan {

// Where a task of a load-balanced service is registered.
struct Place {
  std::string target_group;
  int port = 0;
  std::string container;
};
std::vector<Place> places_of(const ServiceSnapshot& snapshot, const model::Task& task);
std::string hook_name(const model::LifecycleHook& hook);
Millis hook_time(const model::Deployment& deployment, Time now);
const model::ServiceRevision* find_revision(const ServiceSnapshot& snapshot, const std::string& id);

class Planner {
 public:
  explicit Planner(const ServiceSnapshot& snapshot);
  Plan run();

 private:
  struct Member {
    const model::Task* task;
    Judgement judgement;
    bool alive() const { return judgement.fitness < Fitness::Leaving; }
    bool healthy() const { return judgement.fitness == Fitness::Healthy; }
    bool was_healthy() const { return healthy() || task->healthy_at.has_value(); }
  };
  using Members = std::vector<Member*>;

  // planner.cc
  void account();
  void mark_healthy();
  void finish();
  void steady_state();
  void wake_at(Time time);
  void event(std::string text);
  Members alive_of(const std::string& revision);
  Members alive_not_of(const std::string& revision);
  static int healthy_in(const Members& members);

  // targets.cc
  void follow_targets();
  void follow_targets_of(const Member& member);
  bool leave_target(const model::Target& target);

  // groups.cc
  void count_failure(const model::Task& task, const std::string& text);
  void stop(Member& member, const std::string& reason);
  void stop_all(const Members& members, const std::string& reason);
  void stop_failed();
  int start(const std::string& revision, int count, const std::string& reason);
  void stop_surplus(Members members, int surplus, const std::string& reason);
  void size_group(const std::string& revision, int wanted, int budget, bool may_start);
  void roll_towards(const std::string& revision, bool hold);
  int upper_limit() const;
  int counted() const;

  // deployments.cc
  void drive();
  void begin();
  void check_failure();
  void check_alarms();
  void forgive();
  void fail_deployment(const std::string& reason, bool always_back = false);
  void begin_rollback(const std::string& reason);
  void complete();
  void complete_rollback();
  void check_rollback();
  void end_deployment(model::DeploymentStatus status);
  void rolling();
  bool blocked(const std::string& goal);
  bool rolling_may_start();
  bool only_serves(const std::string& revision) const;
  bool keeps_source() const;
  void drain_service();
  Millis scaled(Seconds wait) const;
  Millis alarm_wait() const;

  // task_sets.cc
  void follow_task_sets();

  // hooks.cc
  std::vector<model::HookRun*> current_runs();
  void begin_hooks(model::Stage stage);
  bool hooks_done();
  void check_hooks();
  bool return_hooks_done();
  void close_hooks(const std::string& reason);

  // verdict.cc
  GroupCounts counts_of(const model::ServiceRevision& revision) const;
  void begin_counting();
  void check_verdict();

  // shift.cc: blue/green, canary, linear
  std::string deleted_rule() const;
  bool has_lost_all(const std::string& revision);
  void shift_deployment();
  void shift_rollback();
  void reconcile_stage();
  void scale_up_stage();
  void begin_shift_step();
  void production_shift_stage();
  void bake_stage();
  std::vector<SetWeights> weight_changes(bool test, double percent) const;
  bool direct_traffic(bool test, double percent);
  bool return_traffic();
  bool traffic_astray() const;
  bool gather_traffic();
  void hold_shift();
  double next_weight() const;
  Seconds weight_wait() const;
  bool foreign_targets();
  void advance(model::Stage stage);

  const ServiceSnapshot& in_;
  model::Service service_;
  std::optional<model::Deployment> deployment_;
  bool service_changed_ = false, deployment_changed_ = false;
  std::vector<Member> members_;
  int leaving_ = 0;
  Plan plan_;
};

}  // namespace watari::plan
