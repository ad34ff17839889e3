#pragma once
// Commands on services and their deployments. Thread: the control loop.
#include <optional>
#include <string>
#include <vector>

#include "control/control.h"

namespace watari::control {

std::string new_deployment_id();  // ecs-svc/<19 digits>
// How a deployment of the service goes: its own configuration, with the bake time of the tag watari:bakeTime (the API counts whole minutes).
model::DeploymentConfiguration deployment_configuration(const model::Service& service);
// How long a deployment of the service may take, its waits and hooks apart: the tag watari:timeout, else half an hour.
Seconds deployment_timeout(const model::Service& service);
std::string new_revision_id();    // 19 digits
void add_event(model::Service& service, Time now, std::string message);  // newest first, at most 100

// Writes a new service with its first deployment. `service.target` is what it is to run (without ids). AlreadyExists
// ("Creation of service was not idempotent.") when an active one has the name.
Result<model::Service> create_service(Control& control, model::Service service);

// What UpdateService changes; absent members stay.
struct ServiceUpdate {
  std::optional<int> desired_count;
  std::optional<model::DeploymentConfiguration> configuration;
  std::optional<Seconds> health_check_grace_period;
  std::optional<bool> enable_execute_command;
  std::optional<std::string> propagate_tags, platform_version;
  std::optional<bool> managed_tags;
  // Any of these makes a new revision and a deployment that leads there; so does `force`.
  std::optional<std::pair<std::string, int>> task_definition;
  std::optional<model::NetworkPlacement> network;
  std::optional<std::vector<model::ServiceLoadBalancer>> load_balancers;
  std::optional<std::pair<std::string, std::vector<model::ServiceName>>> names;  // namespace, names
  bool force = false;
};
// A deployment that is under way is superseded. NotFound (ServiceNotFoundException, ServiceNotActiveException).
Result<model::Service> update_service(Control& control, const std::string& key, const ServiceUpdate& update);

// Everything it runs leaves in order, then it becomes INACTIVE. FailedPrecondition when it still wants tasks and not `force`.
Result<model::Service> delete_service(Control& control, const std::string& key, bool force);

// A deployment that CodeDeploy makes: of `next` (without ids), by `configuration`. While another one is under way it waits behind
// it as Pending. Within the caller's transaction. NotFound as update_service().
Result<model::Deployment> enqueue_deployment(Control& control, const std::string& key, model::ServiceRevision next,
                                             model::DeploymentConfiguration configuration, model::CodeDeployment code);

// Stops a deployment that is under way: back to its source, or (`rollback` false) as it stands.
Result<model::Deployment> stop_deployment(Control& control, const std::string& key, bool rollback);

// The service's deployment whose target is this revision, newest first; the deployments of a service, oldest first.
std::vector<model::Deployment> deployments_of(const State& state, const model::Service& service);

bool in_progress(model::DeploymentStatus status);

// By what the service's bake times and shift waits are divided: the server's --time-scale times the tag watari:timeScale of the
// service or, for CodeDeploy's, of its deployment group.
double time_scale_of(Control& control, const model::Service& service);

// Gives a Pending deployment its turn when nothing before it is under way any more: the service's target becomes its target.
// Part of the evaluation's transaction.
void begin_queued(State& state, const std::string& key);

}  // namespace watari::control
