#pragma once
// What a shim lives in: its cgroup, the task's network namespace, a mount namespace of its own.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/shim_protocol.h"
#include "sys/cgroup.h"
#include "sys/fd.h"
#include "sys/mounts.h"

namespace watari::shim {

// Moves the calling process into all of it. Waits in between for the daemon's word on stdin that the network is there: until then
// nothing may be made that it would have to undo. On hybrid cgroup hosts only the v1 hierarchies stay visible, since crun refuses
// "hybrid mode" otherwise. /sys shows the task's network devices afterwards.
Result<void> enter_surroundings(const std::string& directory, const runtime::ShimSetup& setup, const sys::Cgroups& cgroups);

// Mounts of the task's containers below DIR/mnt. They end with the shim's mount namespace.
class Mounts {
 public:
  Mounts(std::string directory, std::int64_t first_id) : directory_(std::move(directory)), first_id_(first_id) {}
  // A new volume that still needs the image's content: a command to run, which waits for other tasks that fill the same one.
  struct Fill {
    std::vector<std::string> argv;
    sys::Fd source;  // must stay open while the command runs
    std::string image;  // unmount it afterwards
  };
  // Root file system and binds of a container. What it returns must be carried out before the container starts.
  Result<std::vector<Fill>> mount_container(const runtime::RunRequest& request);

 private:
  Result<const sys::Fd*> mapping(bool shift);
  Result<std::string> layer(const std::string& path, bool shift);
  Result<void> bind(const runtime::RunRequest& request, const runtime::ShimBind& bind);
  Result<std::optional<Fill>> prepare_fill(const runtime::RunRequest& request, const runtime::ShimBind& bind);

  std::string directory_;
  std::int64_t first_id_;
  sys::Fd mapping_;
  std::map<std::pair<std::string, bool>, std::string> layers_;  // -> name below mnt/layers
};

}  // namespace watari::shim
