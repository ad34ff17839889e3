#pragma once
// Clusters, services and their deployments.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html and API_ServiceDeployment.html
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "model/hooks.h"
#include "model/scope.h"

namespace watari::model {

struct Cluster {
  Scope scope;
  std::string name;
  std::string status = "ACTIVE";  // or INACTIVE
  std::vector<Tag> tags;
  std::map<std::string, std::string> settings;
  Time created_at{};
  WATARI_FIELDS(Cluster, scope, name, status, tags, settings, created_at)
};

enum class Strategy { Rolling, BlueGreen, Linear, Canary };
WATARI_ENUM(Strategy, {Strategy::Rolling, "ROLLING"}, {Strategy::BlueGreen, "BLUE_GREEN"}, {Strategy::Linear, "LINEAR"},
            {Strategy::Canary, "CANARY"})

// How many failed tasks a deployment may have. BoundedPercent: at least 3, at most 200.
enum class Threshold { Count, BoundedPercent, UnboundedPercent };
WATARI_ENUM(Threshold, {Threshold::Count, "COUNT"}, {Threshold::BoundedPercent, "BOUNDED_PERCENT"},
            {Threshold::UnboundedPercent, "UNBOUNDED_PERCENT"})

struct DeploymentConfiguration {
  Strategy strategy = Strategy::Rolling;
  int minimum_healthy_percent = 100;
  int maximum_percent = 200;
  bool circuit_breaker = false;
  bool circuit_breaker_rollback = false;
  Threshold threshold = Threshold::BoundedPercent;
  int threshold_value = 50;             // failed tasks, or percent of the desired count
  bool reset_on_healthy_task = true;    // a task that stays healthy for a minute forgives the failures before
  Seconds bake_time{0};
  double canary_percent = 5;
  Seconds canary_bake_time{600};
  double linear_step_percent = 10;
  Seconds linear_step_bake_time{360};
  std::vector<LifecycleHook> hooks;
  DeploymentAlarms alarms;
  WATARI_FIELDS(DeploymentConfiguration, strategy, minimum_healthy_percent, maximum_percent, circuit_breaker,
                circuit_breaker_rollback, threshold, threshold_value, reset_on_healthy_task, bake_time, canary_percent, canary_bake_time, linear_step_percent,
                linear_step_bake_time, hooks, alarms)
};

// Which container port of the service's tasks a target group gets.
struct ServiceLoadBalancer {
  std::string target_group;            // ARN
  std::string alternate_target_group;  // ARN: blue/green swaps between the two
  std::string production_listener_rule, test_listener_rule, role;
  std::vector<std::string> production_rules, test_rules;  // instead of the two: CodeDeploy shifts every rule of its listeners
  std::string container;
  int container_port = 0;
  std::vector<std::string> rules(bool test) const {
    auto out = test ? test_rules : production_rules;
    if (const auto& one = test ? test_listener_rule : production_listener_rule; !one.empty()) out.push_back(one);
    return out;
  }
  WATARI_FIELDS(ServiceLoadBalancer, target_group, alternate_target_group, production_listener_rule, test_listener_rule, role,
                production_rules, test_rules, container, container_port)
};

// Name under which other tasks of the namespace reach the tasks of this service (ECS Service Connect, client alias).
struct ServiceName {
  std::string port_name;
  std::string dns_name;
  int port = 0;
  WATARI_FIELDS(ServiceName, port_name, dns_name, port)
};

struct NetworkPlacement {
  std::vector<std::string> subnets, security_groups;
  bool assign_public_ip = false;
  WATARI_FIELDS(NetworkPlacement, subnets, security_groups, assign_public_ip)
};

// What a deployment moves the service to: everything of a service that a task of it is made from.
struct ServiceRevision {
  std::string id;  // decimal digits, the end of the ARN
  std::string family;
  int revision = 0;
  NetworkPlacement network;
  std::vector<ServiceLoadBalancer> load_balancers;
  std::vector<std::string> target_groups;  // ARNs, one for each of load_balancers: the one that gets this revision's tasks
  std::string names_namespace;
  std::vector<ServiceName> names;
  std::string launch_type = "FARGATE";
  std::map<std::string, std::string> pinned_images;  // container name -> manifest digest
  Time created_at{};
  WATARI_FIELDS(ServiceRevision, id, family, revision, network, load_balancers, target_groups, names_namespace, names,
                launch_type, pinned_images, created_at)
};

struct ServiceEvent {
  std::string id;
  Time at{};
  std::string message;  // "(service web) has reached a steady state."
  WATARI_FIELDS(ServiceEvent, id, at, message)
};

// Of a revision whose tasks fail one after the other.
struct BackOff {
  int failures = 0;
  Time start_after{};  // no task of it is started before
  WATARI_FIELDS(BackOff, failures, start_after)
};

// What somebody else's deployment controller (EXTERNAL) runs of a service; `revision.id` is its own id, too.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskSet.html
struct TaskSet {
  ServiceRevision revision;
  std::string status = "ACTIVE";  // PRIMARY | ACTIVE | DRAINING (deleted: it goes when its tasks are gone)
  double scale = 0;               // percent of the service's desired count
  std::string external_id, started_by, client_token, platform_version;
  bool stable = false;            // runs what it should, healthy
  Time stable_since{};            // or unstable since
  std::vector<Tag> tags;
  Time created_at{}, updated_at{};
  WATARI_FIELDS(TaskSet, revision, status, scale, external_id, started_by, client_token, platform_version, stable, stable_since, tags,
                created_at, updated_at)
};

struct Service {
  Scope scope;
  std::string cluster, name;
  std::string status = "ACTIVE";  // ACTIVE | DRAINING | INACTIVE
  int desired_count = 0;
  DeploymentConfiguration configuration;
  std::string controller = "ECS";  // or CODE_DEPLOY (deployments are made by CodeDeploy only), EXTERNAL (task sets)
  Seconds health_check_grace_period{0};
  bool enable_execute_command = false;
  std::string platform_version;
  std::string propagate_tags;
  bool managed_tags = false;  // tasks get the tags aws:ecs:clusterName and aws:ecs:serviceName
  ServiceRevision target;                    // where the newest deployment leads
  std::optional<ServiceRevision> completed;  // the last revision that was deployed whole: what a rollback returns to
  std::vector<Tag> tags;
  std::vector<ServiceEvent> events;  // newest first, at most 100
  std::map<std::string, BackOff> back_off;  // by revision id
  std::string client_token;
  std::string created_by;
  Time created_at{};
  std::vector<TaskSet> task_sets;  // of the controller EXTERNAL
  WATARI_FIELDS(Service, scope, cluster, name, status, desired_count, configuration, controller, health_check_grace_period,
                enable_execute_command, platform_version, propagate_tags, managed_tags, target, completed, tags, events, back_off,
                client_token, created_by, created_at, task_sets)
};

enum class DeploymentStatus {
  Pending, InProgress, StopRequested, Stopped, Successful, RollbackRequested, RollbackInProgress, RollbackSuccessful,
  RollbackFailed
};
WATARI_ENUM(DeploymentStatus, {DeploymentStatus::Pending, "PENDING"}, {DeploymentStatus::InProgress, "IN_PROGRESS"},
            {DeploymentStatus::StopRequested, "STOP_REQUESTED"}, {DeploymentStatus::Stopped, "STOPPED"},
            {DeploymentStatus::Successful, "SUCCESSFUL"}, {DeploymentStatus::RollbackRequested, "ROLLBACK_REQUESTED"},
            {DeploymentStatus::RollbackInProgress, "ROLLBACK_IN_PROGRESS"},
            {DeploymentStatus::RollbackSuccessful, "ROLLBACK_SUCCESSFUL"},
            {DeploymentStatus::RollbackFailed, "ROLLBACK_FAILED"})

// What the load balancer counted of one revision during a deployment. Failures: 5xx of its targets, and no answer at all.
// `latency`: requests by how long they took, in the classes of balancer::LatencyHistogram.
struct Traffic {
  std::int64_t requests = 0, failures = 0;
  std::vector<std::int64_t> latency;
  // The counters as last read: they run on from deployment to deployment, and begin anew with the daemon.
  std::int64_t seen_requests = 0, seen_failures = 0;
  std::vector<std::int64_t> seen_latency;
  WATARI_FIELDS(Traffic, requests, failures, latency, seen_requests, seen_failures, seen_latency)
};

// The verdict on a shifted revision, from the counters of both.
struct Verdict {
  bool enabled = true;
  Traffic target, source;
  int looks = 0, slow_looks = 0;        // made so far: each has its share of the risk to be wrong
  std::optional<Time> counted_at;       // when the counters were read last
  bool warmed_up = false;               // latency counts from then on
  WATARI_FIELDS(Verdict, enabled, target, source, looks, slow_looks, counted_at, warmed_up)
};

// One move of a service from what it ran to `target`.
struct Deployment {
  Scope scope;
  std::string id;  // ecs-svc/<19 digits> in the deployments list; the digits alone end the service deployment's ARN
  std::string cluster, service;
  ServiceRevision target;
  std::optional<ServiceRevision> source;  // absent for the first
  DeploymentConfiguration configuration;  // as it was when the deployment was made
  DeploymentStatus status = DeploymentStatus::Pending;
  Stage stage = Stage::ReconcileService;
  Time stage_since{};
  int stage_number = 0;          // counts the stages that were entered
  double production_weight = 0;  // percent of production traffic that the target has
  Time weight_since{};           // when it was set
  Seconds timeout{1800};         // it fails when it takes longer
  std::string reason;            // why it failed or was stopped: last probe, last exit, last log lines' place
  int failed_tasks = 0;
  int failure_threshold = 0;
  std::string rollback_id;       // like id: what the deployments list calls the way back; empty when there was none
  std::optional<Time> rollback_started_at;
  Time created_at{}, updated_at{};
  std::optional<Time> started_at, finished_at;
  std::vector<HookRun> hook_runs;               // oldest first
  std::optional<Time> forgiven_at;              // when failed_tasks was set back to 0
  std::vector<std::string> triggered_alarms;    // of configuration.alarms
  Verdict verdict;
  bool returned = false;                        // on the way back: all traffic is the source's again
  std::optional<CodeDeployment> code_deploy;    // made by CodeDeploy
  bool stop_requested = false;                  // by somebody, through either API
  std::map<std::string, Time> entered;          // when each stage was entered first
  WATARI_FIELDS(Deployment, scope, id, cluster, service, target, source, configuration, status, stage, stage_since, stage_number,
                production_weight, weight_since, timeout, reason, failed_tasks, failure_threshold, rollback_id, rollback_started_at,
                created_at, updated_at, started_at, finished_at, hook_runs, forgiven_at, triggered_alarms, verdict,
                returned, code_deploy, stop_requested, entered)
};

}  // namespace watari::model
