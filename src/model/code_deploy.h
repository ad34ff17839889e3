#pragma once
// What CodeDeploy keeps beside deployments (model::Deployment::code_deploy): who deploys what to which service, and how.
// Source: https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_DeploymentGroupInfo.html
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "model/hooks.h"
#include "model/scope.h"

namespace watari::model {

struct CodeDeployApplication {
  Scope scope;
  std::string id, name;
  std::vector<Tag> tags;
  Time created_at{};
  WATARI_FIELDS(CodeDeployApplication, scope, id, name, tags, created_at)
};

// Two target groups (by name) that take turns, and the listeners (ARNs) whose rules lead to them.
struct TargetGroupPair {
  std::vector<std::string> target_groups, production_listeners, test_listeners;
  WATARI_FIELDS(TargetGroupPair, target_groups, production_listeners, test_listeners)
};

struct CodeDeployGroup {
  Scope scope;
  std::string id, application, name, role;
  std::string config = "CodeDeployDefault.ECSAllAtOnce";
  std::string cluster, service;
  std::vector<TargetGroupPair> pairs;
  bool rollback = false;
  std::vector<std::string> rollback_events;  // DEPLOYMENT_FAILURE …
  DeploymentAlarms alarms;
  bool ready_wait_stops = false;  // deploymentReadyOption.actionOnTimeout = STOP_DEPLOYMENT
  int ready_wait = 0;             // minutes
  bool keep_blue = false;
  int termination_wait = 0;       // minutes
  std::vector<Tag> tags;
  WATARI_FIELDS(CodeDeployGroup, scope, id, application, name, role, config, cluster, service, pairs, rollback, rollback_events,
                alarms, ready_wait_stops, ready_wait, keep_blue, termination_wait, tags)
};

// How traffic moves: TimeBasedCanary `percent`, `minutes` later the rest; TimeBasedLinear `percent` every `minutes`.
struct CodeDeployConfig {
  Scope scope;
  std::string id, name;
  std::string type = "AllAtOnce";
  int percent = 0, minutes = 0;
  Time created_at{};
  WATARI_FIELDS(CodeDeployConfig, scope, id, name, type, percent, minutes, created_at)
};

// An AppSpec that was registered or deployed.
struct CodeDeployRevision {
  Scope scope;
  std::string application, type, content, sha256, description;
  std::vector<std::string> groups;  // that it was deployed to
  Time registered_at{};
  std::optional<Time> first_used_at, last_used_at;
  WATARI_FIELDS(CodeDeployRevision, scope, application, type, content, sha256, description, groups, registered_at, first_used_at,
                last_used_at)
};

}  // namespace watari::model
