#pragma once
// Calls the lifecycle hooks that the planner has begun (model::HookRun), and writes what they answer.
//
// A hook's target is an http(s) URL, a task definition, or a function's name or ARN that stands for one of the two (the table
// `functions`). URLs are called off the loop, at least once: again after a crash. Task definitions run as one task in the
// service's network, exactly once: the task's row and its id in the run are written in one transaction.
#include <functional>
#include <optional>
#include <string>

#include "control/state.h"

namespace watari::control {

class Control;

// Where a hook's target leads. One of the two is set.
struct HookPlace {
  std::string url;
  std::string family;
  int revision = 0;  // 0: the newest active one at the time it runs
};
// NotFound says how to make the name known.
Result<HookPlace> find_hook(const State& state, const model::Scope& scope, const std::string& target);

// One call of a hook behind a URL.
struct HookCall {
  model::Deployment deployment;
  model::HookRun run;
  std::string url;
};
struct HookAnswer {
  enum class Kind {
    Succeeded, Failed,
    InProgress,   // call again after `delay`
    Accepted,     // told; it will answer by itself (CodeDeploy's way)
    Unreachable,  // nobody heard it: try again
  };
  Kind kind = Kind::Failed;
  std::string reason;
  Seconds delay{30};
  std::string details;  // JSON for the next call
};
// Calls without blocking; `done` is called once, on any thread.
using HookCaller = std::function<void(HookCall call, std::function<void(HookAnswer)> done)>;

// A function's name, wherever it is written: "check", "arn:aws:lambda:us-east-1:123456789012:function:check:live".
std::string function_name(const std::string& text);

// Commands. Thread: the control loop.
// InvalidArgument when not exactly one of url and task_definition is set, or it is malformed.
Result<model::Function> put_function(Control& control, model::Function function);
Result<void> delete_function(Control& control, const model::Scope& scope, const std::string& name);

// The answer of a hook that answers by itself. `key` is the deployment's. NotFound
// (InvalidLifecycleEventHookExecutionIdException) when it has no such run, Conflict (LifecycleEventAlreadyCompletedException)
// when it is over. `status` is Succeeded or Failed.
Result<model::Deployment> finish_hook(Control& control, const std::string& key, const std::string& hook_id,
                                      model::HookStatus status, const std::string& reason);

// Ends a pause: on, or back. Without an id all pauses that wait. FailedPrecondition when none does.
Result<model::Deployment> continue_deployment(Control& control, const std::string& key, const std::string& hook_id,
                                              model::HookAction action);

}  // namespace watari::control
