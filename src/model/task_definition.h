#pragma once
// A task definition revision: what a task is made of. Immutable once registered.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinition.html
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "model/scope.h"

namespace watari::model {

struct HealthCheck {
  std::vector<std::string> command;  // "CMD" args… | "CMD-SHELL" line
  Seconds interval{30};
  Seconds timeout{5};
  int retries = 3;
  Seconds start_period{0};
  WATARI_FIELDS(HealthCheck, command, interval, timeout, retries, start_period)
};

enum class DependencyCondition { Start, Complete, Success, Healthy };
WATARI_ENUM(DependencyCondition, {DependencyCondition::Start, "START"}, {DependencyCondition::Complete, "COMPLETE"},
            {DependencyCondition::Success, "SUCCESS"}, {DependencyCondition::Healthy, "HEALTHY"})

struct Dependency {
  std::string container;
  DependencyCondition condition = DependencyCondition::Start;
  WATARI_FIELDS(Dependency, container, condition)
};

struct PortMapping {
  std::string name;
  int container_port = 0;
  std::string protocol = "tcp";
  std::string app_protocol;
  WATARI_FIELDS(PortMapping, name, container_port, protocol, app_protocol)
};

struct SecretReference {
  std::string name;        // the environment variable
  std::string value_from;  // parameter name or ARN
  WATARI_FIELDS(SecretReference, name, value_from)
};

struct MountPoint {
  std::string source_volume;
  std::string container_path;
  bool read_only = false;
  WATARI_FIELDS(MountPoint, source_volume, container_path, read_only)
};

struct Ulimit {
  std::string name;
  std::int64_t soft = 0, hard = 0;
  WATARI_FIELDS(Ulimit, name, soft, hard)
};

struct LogConfiguration {
  std::string driver;  // awslogs
  std::map<std::string, std::string> options;
  std::vector<SecretReference> secret_options;
  WATARI_FIELDS(LogConfiguration, driver, options, secret_options)
};

struct LinuxParameters {
  std::vector<std::string> add_capabilities;
  std::vector<std::string> drop_capabilities;
  bool init_process = false;
  std::optional<std::int64_t> shared_memory_mib;
  WATARI_FIELDS(LinuxParameters, add_capabilities, drop_capabilities, init_process, shared_memory_mib)
};

struct ContainerDefinition {
  std::string name;
  std::string image;  // as written in the task definition
  std::int64_t cpu = 0;                          // shares; 1024 is one core
  std::optional<std::int64_t> memory_mib;        // hard limit
  std::optional<std::int64_t> memory_reservation_mib;
  bool essential = true;
  std::vector<std::string> entry_point;
  std::vector<std::string> command;
  std::string working_directory;
  std::string user;
  std::string hostname;
  std::vector<PortMapping> ports;
  std::map<std::string, std::string> environment;
  std::vector<SecretReference> secrets;
  std::vector<MountPoint> mounts;
  std::vector<Dependency> depends_on;
  std::optional<Seconds> start_timeout;
  std::optional<Seconds> stop_timeout;  // SIGTERM to SIGKILL; 30 s when absent
  std::optional<HealthCheck> health_check;
  std::optional<LogConfiguration> log;
  std::optional<LinuxParameters> linux_parameters;
  std::vector<Ulimit> ulimits;
  std::map<std::string, std::string> system_controls;
  std::map<std::string, std::string> docker_labels;
  bool privileged = false;
  bool read_only_root = false;
  bool pseudo_terminal = false;
  bool interactive = false;
  WATARI_FIELDS(ContainerDefinition, name, image, cpu, memory_mib, memory_reservation_mib, essential, entry_point, command,
                working_directory, user, hostname, ports, environment, secrets, mounts, depends_on, start_timeout,
                stop_timeout, health_check, log, linux_parameters, ulimits, system_controls, docker_labels, privileged,
                read_only_root, pseudo_terminal, interactive)
};

struct Volume {
  std::string name;
  std::string host_path;  // bind mount of this directory of the host
  bool shared = false;    // a named volume that outlives tasks (dockerVolumeConfiguration scope "shared"); otherwise the
                          // volume is the task's own and goes with it
  WATARI_FIELDS(Volume, name, host_path, shared)
};

struct TaskDefinition {
  Scope scope;
  std::string family;
  int revision = 0;
  bool active = true;
  std::string network_mode = "awsvpc";
  std::string cpu, memory;  // as written: "256" or ".25 vCPU"
  std::string task_role, execution_role;
  std::vector<std::string> requires_compatibilities;
  std::vector<ContainerDefinition> containers;
  std::vector<Volume> volumes;
  std::vector<Tag> tags;
  Time registered_at{};
  std::optional<Time> deregistered_at;
  std::string registered_by;
  WATARI_FIELDS(TaskDefinition, scope, family, revision, active, network_mode, cpu, memory, task_role, execution_role,
                requires_compatibilities, containers, volumes, tags, registered_at, deregistered_at, registered_by)
};

}  // namespace watari::model
