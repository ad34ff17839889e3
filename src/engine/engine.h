#pragma once
// What runs: the contract between control (which decides) and an engine (which acts). engine/local implements it with
// namespaces, overlayfs and an OCI runtime; a kubernetes engine can implement the same.
//
// Every call is asynchronous and idempotent by task id, may come from any thread, and returns at once. Results come as
// observations: the engine reports, it never decides. All of it survives a crash of the daemon: recover() finds the tasks again.
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/network.h"
#include "model/task.h"
#include "model/task_definition.h"

namespace watari::engine {

// One container, ready to start: overrides applied, secrets read, image pinned.
struct ContainerSpec {
  model::ContainerDefinition definition;
  std::string image_digest;                    // manifest digest in the image store
  std::map<std::string, std::string> secrets;  // environment; kept in memory and on tmpfs only
  std::string log_directory;                   // where the shim writes this container's segments (logs/segment.h); never empty
  WATARI_FIELDS(ContainerSpec, definition, image_digest, log_directory)
};

struct NetworkSpec {
  std::string vpc;
  std::string vpc_cidr;
  std::string address;  // 172.31.5.9
  std::string mac;
  bool outside = false;  // may open connections to the outside of the VPC
  WATARI_FIELDS(NetworkSpec, vpc, vpc_cidr, address, mac, outside)
};

struct TaskSpec {
  std::string id;
  std::vector<ContainerSpec> containers;
  std::vector<model::Volume> volumes;
  std::string volume_scope;  // shared volumes of tasks with the same scope are the same: "123456789012/us-east-1"
  NetworkSpec network;
  std::string names_namespace;  // whose names the task resolves (set_names)
  std::string hostname;
  std::optional<std::int64_t> cpu_units, memory_mib;  // of the whole task
  std::map<std::string, std::string> labels;
  WATARI_FIELDS(TaskSpec, id, containers, volumes, volume_scope, network, names_namespace, hostname, cpu_units, memory_mib, labels)
};

struct ExecResult {
  int exit_code = 0;
  std::string output;  // stdout and stderr, at most 64 KiB
};

// What a running task takes of the machine.
struct TaskUsage {
  std::int64_t cpu_ns = 0;  // since it was started
  std::int64_t memory_bytes = 0;
};

class Engine {
 public:
  // Called on an engine thread after each change, with the whole status. Control posts it to its own loop.
  using Observer = std::function<void(model::TaskStatus)>;

  virtual ~Engine() = default;

  // Finds the tasks that a former daemon left (their shims are still running), resumes watching them and reports each
  // once. Tasks that are gone (host reboot, shim killed) are reported Stopped. Call once, before anything else.
  virtual Result<std::vector<model::TaskStatus>> recover(Observer observer) = 0;

  virtual void run(TaskSpec spec) = 0;
  // SIGTERM in reverse dependency order, each container's stop timeout, SIGKILL. Traffic is control's business: it has
  // deregistered the task before.
  virtual void stop(const std::string& task, std::string stop_code, std::string reason) = 0;
  // Removes what is left of a stopped task (directories, network). Until then its status stays available to recover().
  virtual void forget(const std::string& task) = 0;

  // Names that tasks of the VPC and the namespace (ECS Service Connect) resolve: every address of each name. Replaces what was set before.
  virtual void set_names(const std::string& vpc, const std::string& names_namespace,
                         const std::map<std::string, std::vector<std::string>>& names) = 0;
  // Security groups of a VPC and which addresses are members of which. Replaces what was set before.
  virtual void set_security(const std::string& vpc, const std::vector<model::SecurityGroup>& groups,
                            const std::map<std::string, std::vector<std::string>>& groups_of_address) = 0;

  // Runs a command in a running container; blocking, call it on a pool thread.
  virtual Result<ExecResult> exec(const std::string& task, const std::string& container,
                                  const std::vector<std::string>& argv, Seconds timeout) = 0;

  // Name of the network namespace (below /run/netns) from which a VPC's addresses are reachable; created when missing.
  virtual Result<std::string> vpc_namespace(const std::string& vpc, const std::string& cidr) = 0;

  // Nothing when the task does not run, or cannot be measured. Microseconds; any thread.
  virtual std::optional<TaskUsage> usage(const std::string& /*task*/) const { return std::nullopt; }

  // Takes down everything: tasks, namespaces, firewall tables, mounts (`--stop-all`). Blocking.
  virtual void stop_all() = 0;
};

}  // namespace watari::engine
