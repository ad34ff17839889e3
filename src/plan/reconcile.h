#pragma once
// The decisions about one service: what to start, stop, register, shift, and when a deployment is done or has failed.
// Pure: only base and model, no clock, no randomness, no state. Applying a plan and planning again leads on, step by step,
// until a plan is empty. Killed and restarted anywhere in between, the next plan goes on from what was written.
#include "plan/snapshot.h"

namespace watari::plan {

// Promises, each checked by tests/sim:
//  * a healthy task is stopped only when enough others are healthy, or fewer are wanted;
//  * what is stopped has been taken out of its target groups before, and has no request in flight (or its delay is over);
//  * a rolling deployment never has more than maximumPercent of the desired count wanted running; at 100 % and below,
//    stopping tasks count too, so that two copies of a stateful task never overlap;
//  * a deployment that fails leaves the revision before it as it was.
Plan reconcile(const ServiceSnapshot& snapshot);

// So many failed tasks end a deployment. By default 0.5 x the desired count, at least 3, at most 200.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
int failure_threshold(const model::DeploymentConfiguration& configuration, int desired_count);

// How many tasks a task set is to run: its percentage of the service's desired count, rounded up.
int task_set_count(const model::TaskSet& set, int desired_count);

// How a task is doing, judged by every check its service has.
enum class Fitness { Starting, Healthy, Unhealthy, Leaving, Gone };
struct Judgement {
  Fitness fitness = Fitness::Starting;
  std::string reason;           // of Unhealthy: AWS's sentence with the last probe
  std::optional<Time> changes;  // it may become something else by waiting until then
};
Judgement judge(const ServiceSnapshot& snapshot, const model::Task& task);

// "container app exited with code 1; its log: group /watari/default/web, stream ecs/app/0af3"
std::string why_stopped(const ServiceSnapshot& snapshot, const model::Task& task);

}  // namespace watari::plan
