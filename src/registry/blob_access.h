#pragma once
// Whether somebody may have a blob through a repository. Blobs belong to the store, not to a repository, so a policy that keeps somebody from a
// repository's layers would be worth nothing if they could be asked for in another one.
// One object a server; any thread.
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "oci/image_store.h"
#include "registry/policy.h"

namespace watari::registry {

class BlobAccess {
 public:
  explicit BlobAccess(oci::ImageStore& images) : images_(images) {}

  // Yes, when an image of the repository has it (what the repository's own policy says is asked elsewhere), when `who` brought it, or when nobody keeps
  // `who` from it: no repository that has it denies ecr:GetDownloadUrlForLayer, or another one that has it does not. `who.action` does not matter.
  bool allows(const std::string& repository, const std::string& digest, PolicyRequest who);
  // The first blob of a manifest that `who` may not have; "" when there is none.
  std::string forbidden(const std::string& repository, std::string_view manifest, const PolicyRequest& who);
  // Who has sent the bytes knows them. Forgotten when the server ends: a push then sends them again.
  void brought(const std::string& principal, const std::string& digest);

 private:
  enum class Configs { Ignored, Believed };
  bool has(const std::string& repository, const std::string& digest, Configs configs) const;
  std::map<std::string, std::string> policies();

  oci::ImageStore& images_;
  std::mutex mutex_;
  std::set<std::pair<std::string, std::string>> brought_;  // principal, digest
  std::map<std::string, std::string> policies_;            // of repositories that have one
  std::uint64_t policies_of_ = ~std::uint64_t{0};          // version of the settings that they are of
};

}  // namespace watari::registry
