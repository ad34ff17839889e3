#pragma once
// The engine of one machine: namespaces, overlays and an OCI runtime, one shim a task (docs/architecture.md).
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "async/pool.h"
#include "base/result.h"
#include "engine/engine.h"
#include "oci/image_store.h"

namespace watari::engine {

struct LocalEngineOptions {
  std::filesystem::path root;   // ROOT: writable layers and volumes lie below it
  std::string root_id;          // 8 hexadecimal digits, names everything on the host
  oci::ImageStore* images = nullptr;  // must outlive the engine
  async::Pool* pool = nullptr;        // must outlive the engine; at least 2 threads
  std::filesystem::path run_directory = {};  // /run/watari-<root id> when empty
  std::filesystem::path shim = {};           // watari-shim beside the running program when empty
  std::vector<std::string> runtime{"crun"};  // any OCI runtime, with its global options: {"runc"}
};

// Checks what the host offers (cgroups, the runtime, the shim), makes the run directory. Then call recover().
// FailedPrecondition says what is missing and how to get it. Destroying the engine leaves all tasks running.
Result<std::unique_ptr<Engine>> start_local_engine(LocalEngineOptions options);

}  // namespace watari::engine
