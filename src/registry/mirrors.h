#pragma once
// Where an image can come from: the mirrors of its registry, in their order, and the registry itself, last.
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "registry/remote.h"

namespace watari::registry {

// By the registry's name as people write it ("docker.io", "registry.example.com:5000"): HOST[:PORT][/PREFIX] of its mirrors. The prefix is put before the
// repository's name.
using Mirrors = std::map<std::string, std::vector<std::string>>;

// "docker.io=mirror.example.com:5000/hub" is added to `mirrors`. InvalidArgument says what is wrong with it.
Result<void> add_mirror(Mirrors& mirrors, const std::string& text);

// Used by one pull, by several of its threads at once.
class Sources {
 public:
  explicit Sources(std::shared_ptr<Remote> registry) { all_.push_back({std::move(registry)}); }
  // `mirrors` first, as long as they answer.
  Sources(std::vector<std::shared_ptr<Remote>> mirrors, std::shared_ptr<Remote> registry);

  Remote& registry() { return *all_.back().remote; }  // the last one
  // Calls `job` with one after the other until it succeeds; the error is that of the registry itself, those of mirrors are logged. A mirror that does not
  // answer is left out from then on. Cancelled ends it.
  Result<void> try_each(const std::string& what, const std::function<Result<void>(Remote&, bool is_last)>& job);

 private:
  struct Source {
    std::shared_ptr<Remote> remote;
    std::shared_ptr<std::atomic<bool>> silent = std::make_shared<std::atomic<bool>>(false);
  };
  std::vector<Source> all_;
};

// The sources of an image. `connect_to` makes the client of a registry with the login for it; mirrors are not asked for long.
Result<Sources> sources_of(const RemoteName& name, const Mirrors& mirrors, const std::function<Result<RemoteOptions>(const std::string& host)>& login_for);

}  // namespace watari::registry
