#pragma once
// What the decisions about one service are made from: values only, so that the same snapshot always gives the same plan.
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "model/alarm.h"
#include "model/balancing.h"
#include "model/service.h"
#include "model/task.h"
#include "model/task_definition.h"

namespace watari::plan {

// Counters of a target group; they only grow while the daemon runs.
struct GroupCounts {
  std::int64_t requests = 0, failures = 0;
  std::vector<std::int64_t> latency;
};

struct ServiceSnapshot {
  model::Service service;
  std::vector<model::Deployment> deployments;  // oldest first; the last one decides, the others tell revisions
  std::vector<model::Task> tasks;              // of the service; stopped ones only until they are accounted for
  std::map<std::string, model::TaskDefinition> definitions;  // "family:revision"
  std::vector<model::Target> targets;                        // in the target groups of any revision
  std::vector<model::TargetHealth> health;                   // what the balancer said last; may miss some
  std::map<std::string, Seconds> deregistration_delays;      // target group ARN
  std::map<std::string, std::vector<model::WeightedTargetGroup>> weights;  // forward action of the revisions' listener rules
  std::vector<model::Alarm> alarms;                          // of the newest deployment, as far as they exist
  std::map<std::string, GroupCounts> counts;                 // target group ARN: what its targets answered so far
  bool settled = true;  // the balancer has made everything above take effect
  bool fresh = true;    // and `health` was seen after that
  Time now{};
  double time_scale = 1;
};

// The actions. Whoever carries them out writes them into the state in one transaction, in this order.
struct StartTask {
  std::string revision;    // ServiceRevision::id
  std::string deployment;  // Deployment::id
  std::string reason;
};
struct StopTask {
  std::string task;
  std::string reason;       // what people read in stoppedReason
  bool accounted = false;   // its failure has been counted with this decision
};
struct RegisterTarget {
  std::string target_group, address;
  int port = 0;
};
struct DeregisterTarget {  // no new requests from now on
  std::string target_group, address;
  int port = 0;
  Time draining_until{};
};
struct RemoveTarget {  // drained, or its task is gone
  std::string target_group, address;
  int port = 0;
};
struct SetWeights {
  std::string rule;
  std::vector<model::WeightedTargetGroup> weights;
};
struct MarkHealthy {
  std::string task;
};
struct MarkAccounted {
  std::string task;
};
struct PutDeployment {
  model::Deployment deployment;
};
struct PutService {  // everything but its events
  model::Service service;
};
struct Event {
  std::string message;
};
using Action = std::variant<StartTask, StopTask, RegisterTarget, DeregisterTarget, RemoveTarget, SetWeights, MarkHealthy,
                            MarkAccounted, PutDeployment, PutService, Event>;

struct Plan {
  std::vector<Action> actions;
  std::optional<Time> wake;  // look again then, even if nothing is heard
};

}  // namespace watari::plan
