#include "builder/limits.h"

#include <mutex>

#include "base/log.h"
#include "sys/cgroup.h"

namespace watari::builder {

struct BuildGroup::Impl {
  std::string path;
  std::mutex mutex;
  std::optional<sys::Cgroups> groups;  // once made
};

BuildGroup::BuildGroup(std::string path, const BuildLimits& limits) : limits_(limits), impl_(std::make_unique<Impl>()) {
  impl_->path = std::move(path);
}

Result<void> BuildGroup::add(int pid) {
  std::lock_guard lock(impl_->mutex);
  if (!impl_->groups) {
    TRY(auto groups, sys::Cgroups::detect());
    sys::CgroupLimits limits{.processes = limits_.processes};
    if (limits_.memory_bytes > 0) limits.memory_bytes = limits_.memory_bytes;
    if (limits_.cpus > 0) limits.cpus = limits_.cpus;
    TRY_VOID(groups.create(impl_->path, limits));
    impl_->groups = std::move(groups);
  }
  return impl_->groups->add_process(impl_->path, pid);
}

std::int64_t BuildGroup::oom_kills() const { return impl_->groups ? impl_->groups->oom_kills(impl_->path) : 0; }

// The steps' processes are gone with their pid namespaces; the kernel needs a moment to say so.
BuildGroup::~BuildGroup() {
  if (!impl_->groups) return;
  auto killed = impl_->groups->kill_all(impl_->path, Millis(5000));
  auto removed = killed ? impl_->groups->remove(impl_->path) : killed;
  if (!removed) log::warn("control group {}: {}", impl_->path, removed.error().message);
}

void BuildGroup::sweep(const std::string& prefix) {
  auto groups = sys::Cgroups::detect();
  if (!groups) return;
  for (const auto& name : groups->children(""))
    if (name.starts_with(prefix) && groups->kill_all(name, Millis(5000))) (void)groups->remove(name);
}

}  // namespace watari::builder
