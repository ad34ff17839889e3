#pragma once
// What should be, and what was last seen: all tables, and how their keys are made. Thread: the control loop only.
#include <string>

#include "model/alarm.h"
#include "model/balancing.h"
#include "model/code_deploy.h"
#include "model/certificate.h"
#include "model/function.h"
#include "model/network.h"
#include "model/role.h"
#include "model/scaling.h"
#include "model/service.h"
#include "model/task.h"
#include "model/task_definition.h"
#include "store/table.h"

namespace watari::control {

// Revision numbers of a family are never used twice, also after deletion.
struct Family {
  int last_revision = 0;
  WATARI_FIELDS(Family, last_revision)
};

struct Region {
  bool default_network_made = false;  // once; a default VPC that was deleted does not come back by itself
  WATARI_FIELDS(Region, default_network_made)
};

struct State {
  explicit State(store::Database& database);

  store::Table<model::Cluster> clusters;                 // cluster_key
  store::Table<Family> families;                         // family_key
  store::Table<model::TaskDefinition> task_definitions;  // task_definition_key
  store::Table<model::Service> services;                 // service_key
  store::Table<model::Deployment> deployments;           // deployment_key: oldest first within a service
  store::Table<model::Task> tasks;                       // task_key
  store::Table<model::Alarm> alarms;                     // alarm_key
  store::Table<model::AlarmEvent> alarm_history;         // alarm_key, then time (control/alarms.h)
  store::Table<model::Function> functions;               // function_key

  store::Table<model::CodeDeployApplication> code_deploy_applications;  // application_key (control/code_deploy.h)
  store::Table<model::CodeDeployGroup> code_deploy_groups;              // group_key
  store::Table<model::CodeDeployConfig> code_deploy_configs;            // deployment_config_key
  store::Table<model::CodeDeployRevision> code_deploy_revisions;        // code_revision_key

  store::Table<model::LoadBalancer> load_balancers;  // ARN
  store::Table<model::Listener> listeners;           // ARN
  store::Table<model::Rule> rules;                   // ARN
  store::Table<model::TargetGroup> target_groups;    // ARN
  store::Table<model::Target> targets;               // target_key
  store::Table<model::Certificate> certificates;     // ARN

  store::Table<model::Vpc> vpcs;                       // network_key
  store::Table<model::Subnet> subnets;                 // network_key
  store::Table<model::SecurityGroup> security_groups;  // network_key
  store::Table<model::NetworkInterface> network_interfaces;  // network_key of "<subnet>/<address>"
  store::Table<Region> regions;                              // Scope::key()

  store::Table<model::Role> roles;                       // "<account>/<name>": IAM has no regions
  store::Table<model::ScalableTarget> scalable_targets;  // service_key
};

// Keys begin with the scope ("123456789012/us-east-1/"), so that a prefix lists an account's objects in a region.
inline std::string scope_prefix(const model::Scope& scope) { return scope.key() + "/"; }
std::string cluster_key(const model::Scope& scope, const std::string& cluster);
std::string family_key(const model::Scope& scope, const std::string& family);
std::string task_definition_key(const model::Scope& scope, const std::string& family, int revision);
std::string service_key(const model::Scope& scope, const std::string& cluster, const std::string& service);
std::string deployment_key(const model::Deployment& deployment);
std::string deployment_prefix(const model::Service& service);
std::string task_key(const model::Scope& scope, const std::string& cluster, const std::string& task);
inline std::string task_key(const model::Task& task) { return task_key(task.scope, task.cluster, task.id); }
inline std::string service_key(const model::Service& service) {
  return service_key(service.scope, service.cluster, service.name);
}
std::string target_key(const std::string& target_group, const std::string& address, int port);
inline std::string target_key(const model::Target& target) {
  return target_key(target.target_group, target.address, target.port);
}
std::string alarm_key(const model::Scope& scope, const std::string& alarm);
std::string function_key(const model::Scope& scope, const std::string& function);
std::string network_key(const model::Scope& scope, const std::string& id);

}  // namespace watari::control
