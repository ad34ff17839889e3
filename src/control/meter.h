#pragma once
// Private to control/: measures (the load balancers' counters, the health of targets, what tasks take of the machine), judges alarms
// when their periods are over, and tells whoever an alarm names. Metrics are AWS's, and `Watari/ECS` for what AWS has no name for
// (docs/alarms.md lists them).
//
// What it remembers can be lost, but for alarms' states and whom to tell: those are written in one transaction.
// Owner: Control. Thread: the control loop.
#include <map>
#include <set>
#include <string>

#include "control/control.h"
#include "metrics/alarm.h"
#include "metrics/store.h"

namespace watari::control {

class Meter {
 public:
  explicit Meter(Control& control) : control_(control), store_(control.now()) {}
  void start();
  metrics::Store& store() { return store_; }

 private:
  void tick();
  void arm();

  // meter.cc: alarms
  void judge_alarms();
  void call_actions();

  // measure.cc
  void measure_balancers();
  void measure_group(const model::TargetGroup& group, const balancer::Counters& counters);
  void measure_revisions(const model::TargetGroup& group, const std::vector<balancer::TargetCounters>& targets);
  void measure_health();
  void measure_tasks();
  void add(const model::Scope& scope, const model::Metric& metric, const char* unit, const metrics::Summary& samples);
  void add_counters(const model::Scope& scope, const std::string& space, const std::vector<model::Dimension>& dimensions,
                    const balancer::Counters& counters);
  const std::string* load_balancer_of(const std::string& group);

  Control& control_;
  metrics::Store store_;
  std::map<std::string, Time> judged_;   // alarm -> the end of its last period that was looked at
  std::set<std::string> calling_;        // ids of alarm calls under way
  std::map<std::string, balancer::Counters> seen_groups_;                          // ARN
  std::map<std::string, std::map<std::string, balancer::Counters>> seen_targets_;  // ARN -> address:port
  struct Cpu {
    Time at{};
    std::int64_t nanoseconds = 0;
  };
  std::map<std::string, Cpu> seen_cpu_;  // task id
  std::map<std::string, std::string> balancer_of_group_;  // as of rules_version_
  std::optional<std::uint64_t> rules_version_;
  std::optional<Time> tasks_at_, swept_at_;
};

}  // namespace watari::control
