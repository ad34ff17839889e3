#pragma once
// A task: one running copy of a task definition, with its own network address. Desired by control, observed by the engine.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "model/scope.h"

namespace watari::model {

//  Provisioning -> Pending -> Running -> Deactivating -> Stopping -> Stopped
//  (address,        (images,   (essential  (out of the     (SIGTERM,
//   secrets)         start)     running)    load balancer)  SIGKILL)
// Any state may go straight to Stopping or Stopped; never backwards.
enum class TaskState { Provisioning, Pending, Running, Deactivating, Stopping, Stopped };
WATARI_ENUM(TaskState, {TaskState::Provisioning, "PROVISIONING"}, {TaskState::Pending, "PENDING"},
            {TaskState::Running, "RUNNING"}, {TaskState::Deactivating, "DEACTIVATING"},
            {TaskState::Stopping, "STOPPING"}, {TaskState::Stopped, "STOPPED"})

enum class Health { Unknown, Healthy, Unhealthy };
WATARI_ENUM(Health, {Health::Unknown, "UNKNOWN"}, {Health::Healthy, "HEALTHY"}, {Health::Unhealthy, "UNHEALTHY"})

enum class ContainerState { Pending, Running, Stopped };
WATARI_ENUM(ContainerState, {ContainerState::Pending, "PENDING"}, {ContainerState::Running, "RUNNING"},
            {ContainerState::Stopped, "STOPPED"})

struct ContainerStatus {
  std::string name;
  ContainerState state = ContainerState::Pending;
  std::optional<int> exit_code;  // 128 + signal when a signal ended it
  std::string reason;            // "OutOfMemoryError: …", "CannotStartContainerError: …"
  Health health = Health::Unknown;
  std::string health_output;     // of the last health check, at most 4 KiB
  std::string image;             // as written
  std::string image_digest;      // what ran
  std::string runtime_id;
  std::optional<Time> started_at, finished_at;
  WATARI_FIELDS(ContainerStatus, name, state, exit_code, reason, health, health_output, image, image_digest, runtime_id,
                started_at, finished_at)
};

// What the engine saw; the newest one replaces the one before.
struct TaskStatus {
  std::string task;  // Task::id
  TaskState state = TaskState::Provisioning;
  std::vector<ContainerStatus> containers;
  std::string stop_code;    // TaskFailedToStart | EssentialContainerExited | UserInitiated | ServiceSchedulerInitiated
  std::string stop_reason;  // a sentence: "Essential container in task exited"
  std::optional<Time> pull_started_at, pull_stopped_at, started_at, stopping_at, stopped_at, execution_stopped_at;
  WATARI_FIELDS(TaskStatus, task, state, containers, stop_code, stop_reason, pull_started_at, pull_stopped_at, started_at,
                stopping_at, stopped_at, execution_stopped_at)
};

struct ContainerOverride {
  std::string name;
  std::optional<std::vector<std::string>> command;
  std::map<std::string, std::string> environment;
  std::optional<std::int64_t> cpu, memory_mib, memory_reservation_mib;
  WATARI_FIELDS(ContainerOverride, name, command, environment, cpu, memory_mib, memory_reservation_mib)
};

struct Task {
  Scope scope;
  std::string id;       // 32 hexadecimal digits: the end of the ARN
  std::string cluster;  // name
  std::string service;  // name, or empty for a task of RunTask
  std::string group;    // "service:web" | "family:web"
  std::string deployment;  // id of the service deployment that started it
  std::string service_revision;  // ServiceRevision::id it was made from
  std::string started_by;
  std::string client_token;
  std::string family;
  int revision = 0;
  std::string launch_type = "FARGATE";
  std::string vpc, subnet, address, zone, interface_id, mac;
  std::vector<std::string> security_groups;
  bool public_ip = false;  // asked for one: may reach the outside where the VPC has a way out
  std::vector<ContainerOverride> overrides;
  std::vector<Tag> tags;
  bool desired_stopped = false;
  std::string stop_code, stop_reason;           // why it is wanted stopped; empty when it ended by itself
  std::optional<Time> drain_until;              // Deactivating: in-flight requests may take until then
  std::map<std::string, std::string> pinned_images;  // container name -> digest that the revision resolved to
  Time created_at{};
  TaskStatus status;
  std::optional<Time> healthy_at;  // when it first passed every check of its service
  bool accounted = false;          // stopped, and what that means for its deployment has been counted
  bool forgotten = false;          // the engine has nothing left of it
  WATARI_FIELDS(Task, scope, id, cluster, service, group, deployment, service_revision, started_by, client_token, family, revision,
                launch_type, vpc, subnet, address, zone, interface_id, mac, security_groups, public_ip, overrides, tags,
                desired_stopped, stop_code, stop_reason, drain_until, pinned_images, created_at, status,
                healthy_at, accounted, forgotten)
};

}  // namespace watari::model
