#pragma once
// What a deployment would do, said before anything starts: what would go wrong, and how long it would take. Reads only.
// Thread: the control loop.
#include <functional>
#include <string>
#include <vector>

#include "control/control.h"

namespace watari::control {

struct Problem {
  bool blocking = true;  // false: worth knowing; the deployment may still succeed
  std::string code;      // "IMAGE_NOT_FOUND"
  std::string subject;   // container app, subnet-…
  std::string message;   // what is wrong
  std::string advice;    // what to do
};

// A service as it would be after the change; `service.target` names family and revision of `definition` when it is registered
// already (revision 0: it would be registered first).
struct Proposal {
  model::Service service;
  model::TaskDefinition definition;
  std::function<Result<std::string>(const std::string& value_from)> secret;  // its value, as a task that starts would get it
  std::vector<Problem> problems;                                             // seen while the proposal was made
  Seconds ready_wait{0};                                                     // CodeDeploy: how long at most it waits for ContinueDeployment
};

struct Step {
  std::string name;
  Seconds duration{0};  // as it is expected; compressed clocks are counted in
  Seconds at_most{0};   // then it is given up, and the deployment taken back
};

struct Preview {
  std::vector<Problem> problems;  // blocking ones first
  std::vector<Step> steps;
  std::vector<Seconds> last_durations;  // of the service's last successful deployments, newest first, at most five
  int tasks_now = 0, tasks_wanted = 0, tasks_at_most = 0;
};
Preview preview(Control& control, const Proposal& proposal);

// The parts, each appending what it finds.
struct Host {  // what the machine has; read from the kernel
  std::int64_t memory_mib = 0, cpu_units = 0;
};
Host this_host();
int peak_tasks(const model::Service& service);  // running at once while it deploys
void check_definition(Control& control, const Proposal& proposal, std::vector<Problem>& out);
void check_balancing(Control& control, const Proposal& proposal, std::vector<Problem>& out);
void check_room(Control& control, const Proposal& proposal, const Host& host, std::vector<Problem>& out);
void check_strategy(Control& control, const Proposal& proposal, std::vector<Problem>& out);

}  // namespace watari::control
