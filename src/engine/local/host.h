#pragma once
// What all tasks of a local engine share: where things lie, the machine's parts, and the threads.
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

#include "async/loop.h"
#include "async/pool.h"
#include "base/clock.h"
#include "codec/json.h"
#include "engine/engine.h"
#include "engine/local/local_engine.h"
#include "engine/local/network.h"
#include "sys/cgroup.h"

namespace watari::engine {

// Names of files and cgroups. A task's short-lived things are on tmpfs, its writable layers on the disk.
struct Paths {
  std::string root, run, root_id;

  std::string tasks() const { return run + "/tasks"; }
  std::string task(const std::string& id) const { return tasks() + "/" + id; }
  std::string record(const std::string& id) const { return task(id) + "/record.json"; }
  std::string bundle(const std::string& id, const std::string& container) const { return task(id) + "/bundles/" + container; }
  std::string hosts(const std::string& id) const { return task(id) + "/etc/hosts"; }
  std::string disks() const { return root + "/tasks"; }
  std::string disk(const std::string& id) const { return disks() + "/" + id; }
  std::string layer(const std::string& id, const std::string& container) const { return disk(id) + "/containers/" + container; }
  std::string root_cgroup() const { return "watari-" + root_id; }
  std::string cgroup(const std::string& id) const { return root_cgroup() + "/" + id; }
  // The shim stands beside the containers, so that the task's memory limit is the containers' alone.
  std::string shim_cgroup(const std::string& id) const { return cgroup(id) + "/shim"; }
  std::string containers_cgroup(const std::string& id) const { return cgroup(id) + "/c"; }
  std::string container_cgroup(const std::string& id, const std::string& container) const {
    return containers_cgroup(id) + "/" + container;
  }
};

using Names = std::map<std::string, std::vector<std::string>>;

struct Host {
  Host(LocalEngineOptions given, sys::Cgroups groups, Paths where)
      : options(std::move(given)), paths(std::move(where)), cgroups(std::move(groups)), network(options.root_id) {}

  LocalEngineOptions options;
  Paths paths;
  sys::Cgroups cgroups;
  Network network;
  SystemClock clock;
  async::Loop loop;  // owns all state of tasks; nothing here blocks
  Engine::Observer observer;        // loop
  std::map<std::pair<std::string, std::string>, Names> names;  // loop; by VPC and namespace

  // Network's calls for one VPC must not overlap: held around each of them but attach and detach.
  std::mutex vpc_mutex;

  // Runs blocking work on the pool. The engine's end waits for it.
  void work(async::Job job);
  void wait_for_work();
  // The runtime form of the seccomp profile; the file is read once for each set of capabilities. Any thread.
  Result<codec::Json> seccomp(const std::vector<std::string>& capabilities);

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  int working_ = 0;
  std::map<std::vector<std::string>, codec::Json> seccomp_;
};

}  // namespace watari::engine
