#pragma once
// What a RUN mounts, prepared; shared by steps_run.cc and run_mounts.cc only.
#include <list>
#include <mutex>

#include "builder/agent_proxy.h"
#include "builder/cache_mounts.h"
#include "builder/stage_build.h"

namespace watari::builder {

struct StageBuild::Mounts {
  std::vector<Bind> binds;
  std::vector<Tmpfs> tmpfs;
  std::vector<std::string> targets, file_targets;  // mount points that must leave no trace
  std::list<MountedLayers> views;
  std::vector<std::unique_lock<std::mutex>> locks;
  std::list<CacheUse> caches;
  codec::Json description = codec::Json::array();  // for the cache key: never a secret's value
  std::vector<std::pair<RunMount, std::string>> secrets, agents;  // with the value, or the agent's socket
  std::map<std::string, std::string> environment;
  std::vector<std::string> hidden;  // never to be logged
  UnmountAtEnd private_files;       // secrets and sockets
  std::list<AgentProxy> proxies;
};

}  // namespace watari::builder
