#pragma once
// Lifecycle hooks behind a URL: the event that AWS would invoke the Lambda function with, and what its answer means.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/lambda-lifecycle-hooks.html; CodeDeploy's events:
// https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
#include <atomic>
#include <string>

#include "control/hooks.h"

namespace watari::aws::ecs {

// {"executionId", "lifecycleStage", "resourceArn", "executionDetails": {…}, "hookDetails"}, or for CodeDeploy's events
// {"DeploymentId", "LifecycleEventHookExecutionId"}.
std::string hook_event(const control::HookCall& call);

// {"hookStatus": "SUCCEEDED" | "FAILED" | "IN_PROGRESS", "callBackDelay": 30, "hookDetails": {…}, "reason": "…"}. Anything else
// is a failure, but 502, 503 and 504: nobody was there, so it is called again.
control::HookAnswer read_hook_answer(const control::HookCall& call, int status, const std::string& body);

// Posts the event and reads the answer. Blocks for up to 15 minutes, as a function may run; gives up when `cancelled` turns true.
control::HookAnswer call_hook(const control::HookCall& call, const std::atomic<bool>& cancelled);

}  // namespace watari::aws::ecs
