#pragma once
// The blocking steps of starting and ending a task. Functions of the host and the task's specification; each may be repeated after a crash
// at any point. Pool threads.
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/local/host.h"
#include "runtime/shim_protocol.h"

namespace watari::engine {

// An image, ready to be mounted.
struct ReadyImage {
  oci::Image image;
  std::vector<std::string> layers;  // lowest first
};
Result<ReadyImage> ready_image(Host& host, const ContainerSpec& container);

// Cgroup with the task's limits, network, /etc files, setup.json, the shim itself. `attached` is called when the network is there.
Result<void> launch_shim(Host& host, const TaskSpec& task, const std::function<void()>& attached);

// Writes the bundle of a container and says how the shim is to run it.
Result<runtime::RunRequest> prepare_container(Host& host, const TaskSpec& task, const ContainerSpec& container, const ReadyImage& image);

// Kills whatever lives of the task, the shim too, and takes it off the network. Secrets go; the record and the writable layers stay.
Result<void> tear_down(Host& host, const std::string& task);
// Removes what tear_down left.
Result<void> erase(Host& host, const std::string& task);

// Host ids of a task's containers: 65536 from here on, the same whenever it is asked.
std::int64_t first_id_of(const std::string& task);
// What a task's /etc/hosts says.
std::string hosts_file(const TaskSpec& task, const Names& names);

}  // namespace watari::engine
