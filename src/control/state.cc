#include "control/state.h"

namespace watari::control {

State::State(store::Database& database)
    : clusters(database, "clusters"),
      families(database, "families"),
      task_definitions(database, "task_definitions"),
      services(database, "services"),
      deployments(database, "deployments"),
      tasks(database, "tasks"),
      alarms(database, "alarms"),
      alarm_history(database, "alarm_history"),
      functions(database, "functions"),
      code_deploy_applications(database, "code_deploy_applications"),
      code_deploy_groups(database, "code_deploy_groups"),
      code_deploy_configs(database, "code_deploy_configs"),
      code_deploy_revisions(database, "code_deploy_revisions"),
      load_balancers(database, "load_balancers"),
      listeners(database, "listeners"),
      rules(database, "rules"),
      target_groups(database, "target_groups"),
      targets(database, "targets"),
      certificates(database, "certificates"),
      vpcs(database, "vpcs"),
      subnets(database, "subnets"),
      security_groups(database, "security_groups"),
      network_interfaces(database, "network_interfaces"),
      regions(database, "regions"),
      roles(database, "roles"),
      scalable_targets(database, "scalable_targets") {}

std::string cluster_key(const model::Scope& scope, const std::string& cluster) { return scope_prefix(scope) + cluster; }

std::string family_key(const model::Scope& scope, const std::string& family) { return scope_prefix(scope) + family; }

std::string task_definition_key(const model::Scope& scope, const std::string& family, int revision) {
  return fmt::format("{}{}/{:010}", scope_prefix(scope), family, revision);
}

std::string service_key(const model::Scope& scope, const std::string& cluster, const std::string& service) {
  return scope_prefix(scope) + cluster + "/" + service;
}

std::string deployment_prefix(const model::Service& service) { return service_key(service) + "/"; }

std::string deployment_key(const model::Deployment& deployment) {
  return fmt::format("{}/{:015}-{}", service_key(deployment.scope, deployment.cluster, deployment.service),
                     deployment.created_at.time_since_epoch().count(), deployment.id);
}

std::string task_key(const model::Scope& scope, const std::string& cluster, const std::string& task) {
  return scope_prefix(scope) + cluster + "/" + task;
}

std::string target_key(const std::string& target_group, const std::string& address, int port) {
  return target_group + "/" + address + ":" + std::to_string(port);
}

std::string alarm_key(const model::Scope& scope, const std::string& alarm) { return scope_prefix(scope) + alarm; }

std::string function_key(const model::Scope& scope, const std::string& function) { return scope_prefix(scope) + function; }

std::string network_key(const model::Scope& scope, const std::string& id) { return scope_prefix(scope) + id; }

}  // namespace watari::control
