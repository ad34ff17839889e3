#pragma once
// What the daemon and a task's shim say to each other: docs/formats/shim-protocol.md. Values only; used by both sides.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"

namespace watari::runtime {

// DIR/setup.json: read once when the shim starts. DIR is the task directory, the shim's only argument.
struct ShimSetup {
  std::string task;
  std::string network_namespace;  // path; the shim and all containers live in it
  std::string cgroup;             // the shim's own group, exists already
  std::vector<std::string> runtime{"crun"};  // OCI runtime and its global options
  std::int64_t first_id = 0;      // host id of the containers' root; 65536 ids from there
  std::map<std::string, std::string> sysctls;  // net.* of the task's namespace
  WATARI_FIELDS(ShimSetup, task, network_namespace, cgroup, runtime, first_id, sysctls)
};

// A directory or file that the shim makes visible at DIR/mnt/<container>/<name>, for the bundle to mount.
struct ShimBind {
  std::string source, name;
  bool shift_ids = false;   // owners on disk are the container's own ids
  bool read_only = false;
  std::string ready_file;   // when set and missing: the content of `initial_path` of the image is copied in first, then it is made
  std::string initial_path;
  WATARI_FIELDS(ShimBind, source, name, shift_ids, read_only, ready_file, initial_path)
};

// run: the container's rootfs is mounted at DIR/mnt/<container>/rootfs.
struct RunRequest {
  std::string container;
  std::string runtime_id;
  std::string bundle;               // directory with config.json
  std::string cgroup;               // as in config.json, without the leading slash
  std::vector<std::string> layers;  // directories, lowest first
  std::string upper, work;
  bool shift_ids = true;            // false: privileged, ids are those of the host
  std::vector<ShimBind> binds;
  std::string log_directory;
  bool open_stdin = false;          // a pipe that stays open, instead of /dev/null
  bool terminal = false;
  WATARI_FIELDS(RunRequest, container, runtime_id, bundle, cgroup, layers, upper, work, shift_ids, binds, log_directory,
                open_stdin, terminal)
};

struct SignalRequest {
  std::string container;
  int signal = 0;
  WATARI_FIELDS(SignalRequest, container, signal)
};

struct ExecRequest {
  std::string container;
  std::vector<std::string> argv;
  std::int64_t timeout_ms = 0;  // 0: none
  // The command gets a terminal; the OCI runtime sends its other end to the listener on this unix socket. What is written there goes
  // to the command, and closing it hangs up. `output` of the reply is then what the runtime said, if it failed.
  std::string console_socket;
  WATARI_FIELDS(ExecRequest, container, argv, timeout_ms, console_socket)
};

struct ExecReply {
  int exit_code = 0;
  bool timed_out = false;
  std::string output;  // the first 64 KiB of stdout and stderr; bytes that are no UTF-8 are replaced
  WATARI_FIELDS(ExecReply, exit_code, timed_out, output)
};

//   Creating -> Running -> Exited
//       \-> Failed (error says why; never ran)
enum class ShimState { Creating, Running, Exited, Failed };
WATARI_ENUM(ShimState, {ShimState::Creating, "creating"}, {ShimState::Running, "running"}, {ShimState::Exited, "exited"},
            {ShimState::Failed, "failed"})

struct ShimContainer {
  std::string name;
  ShimState state = ShimState::Creating;
  int pid = 0;
  int exit_code = 0;  // 128 + signal when a signal ended it
  bool out_of_memory = false;
  std::int64_t memory_peak_bytes = 0;
  std::string error;
  std::optional<Time> started_at, finished_at;
  WATARI_FIELDS(ShimContainer, name, state, pid, exit_code, out_of_memory, memory_peak_bytes, error, started_at, finished_at)
};

// Reply of `containers` and `subscribe`, and content of DIR/shim.json.
struct ShimStatus {
  int pid = 0;
  std::vector<ShimContainer> containers;
  WATARI_FIELDS(ShimStatus, pid, containers)
};

inline constexpr std::size_t kMaxExecOutput = 64 * 1024;

// Files of a task directory.
inline std::string setup_file(const std::string& directory) { return directory + "/setup.json"; }
inline std::string status_file(const std::string& directory) { return directory + "/shim.json"; }
inline std::string socket_file(const std::string& directory) { return directory + "/shim.sock"; }
inline std::string mount_directory(const std::string& directory) { return directory + "/mnt"; }
inline std::string rootfs_directory(const std::string& directory, const std::string& container) {
  return directory + "/mnt/" + container + "/rootfs";
}
inline std::string bind_path(const std::string& directory, const std::string& container, const std::string& name) {
  return directory + "/mnt/" + container + "/" + name;
}

}  // namespace watari::runtime
