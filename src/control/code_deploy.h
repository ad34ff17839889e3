#pragma once
// CodeDeploy's side of deployments: applications, groups, configurations, revisions; deployments made by it.
// Thread: the control loop.
#include <optional>
#include <string>
#include <vector>

#include "control/services.h"

namespace watari::control {

std::string application_key(const model::Scope& scope, const std::string& application);
std::string group_key(const model::Scope& scope, const std::string& application, const std::string& group);
std::string group_prefix(const model::Scope& scope, const std::string& application);
std::string deployment_config_key(const model::Scope& scope, const std::string& config);
std::string code_revision_key(const model::Scope& scope, const std::string& application, const std::string& sha256);

std::string new_code_deployment_id();  // d-XXXXXXXXX

// The predefined configurations for ECS, then the scope's own.
// Source: https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html
std::vector<model::CodeDeployConfig> deployment_configs(const State& state, const model::Scope& scope);

// The load balancers that a deployment through `group` gives to the new revision: one for each pair, with every rule of the
// production (and test) listeners that forwards to the pair. Container and port are those of the service, or the given ones.
// FailedPrecondition when a target group is gone, or a listener has no such rule.
Result<std::vector<model::ServiceLoadBalancer>> balancers_of(const State& state, const model::CodeDeployGroup& group,
                                                             const model::ServiceRevision& current, const std::string& container,
                                                             int container_port);

// The group that deploys the service, the first by name when there are several.
std::optional<model::CodeDeployGroup> group_of(const State& state, const model::Service& service);

// How a deployment through `group` proceeds: the service's configuration with the traffic of `config` and the group's waits and alarms.
model::DeploymentConfiguration configuration_for(const model::Service& service, const model::CodeDeployConfig& config,
                                                 const model::CodeDeployGroup& group);

// Deploys `code.app_spec` (registered and noted as used in the same transaction), or queues it while another deployment of the
// service is under way. `next` is the revision without ids. `configuration` says how.
Result<model::Deployment> create_code_deployment(Control& control, const std::string& service_key, model::ServiceRevision next,
                                                 model::DeploymentConfiguration configuration, model::CodeDeployment code,
                                                 model::CodeDeployRevision revision);

// Stops a deployment that is under way: all traffic returns to the revision before, whose tasks run on. `rollback`: that is shown as
// a deployment of its own. Conflict when it is over.
Result<void> stop_code_deployment(Control& control, const std::string& key, bool rollback);

// Ends the termination wait. FailedPrecondition when the deployment is not in it.
Result<void> end_termination_wait(Control& control, const std::string& key);

}  // namespace watari::control
