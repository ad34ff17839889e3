#pragma once
// Which manifests a repository holds and what its tags point to. On disk, below ROOT/images/repositories/<name, percent-encoded>/:
//   tags/<tag>           one line: the digest; its mtime is the time of the tagging
//   manifests/<hex>      one line: the media type it was put with (64 digits are a sha256, 128 a sha512)
//   repository.json      RepositorySettings, when it was created or changed; a push alone makes a repository without it
// Every change is one rename or one unlink. Thread-safe.
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "base/result.h"

namespace watari::oci {

struct Tagged;

struct ManifestLink {
  std::string digest, media_type;
  Time put_at{};
};

struct RepositorySettings {
  Time created_at{};
  bool immutable_tags = false;  // a tag that is there cannot be moved
  std::vector<std::string> tag_exclusions;  // patterns ("dev-*") of the tags for which the opposite holds
  std::map<std::string, std::string> tags;  // of the repository as an AWS resource
  std::string policy, lifecycle_policy;     // JSON, as given (registry/policy.h, registry/lifecycle.h)
  std::string lifecycle_preview;            // the lifecycle policy that was last previewed
  Time lifecycle_evaluated_at{};
  WATARI_FIELDS(RepositorySettings, created_at, immutable_tags, tag_exclusions, tags, policy, lifecycle_policy, lifecycle_preview, lifecycle_evaluated_at)
};

bool is_immutable(const RepositorySettings& settings, std::string_view tag);

class Repositories {
 public:
  virtual ~Repositories() = default;
  virtual std::vector<std::string> names() const = 0;  // sorted; those that hold something or were created
  virtual bool exists(const std::string& repository) const = 0;

  // AlreadyExists for any that holds something or has been created.
  virtual Result<void> create(const std::string& repository, const RepositorySettings& settings) = 0;
  virtual Result<RepositorySettings> settings(const std::string& repository) const = 0;
  // Another one after each change of any repository's settings.
  virtual std::uint64_t settings_version() const = 0;
  // Reads, changes and writes the settings with no other change in between.
  virtual Result<void> update(const std::string& repository, const std::function<void(RepositorySettings&)>& change) = 0;
  // With all its tags and manifests (blobs go when pruned). NotFound when there is none.
  virtual Result<void> remove(const std::string& repository) = 0;

  // The manifest's blob must be in the store.
  virtual Result<void> link(const std::string& repository, const std::string& digest, const std::string& media_type) = 0;
  // Also removes the tags that point to it. NotFound when the repository does not hold it.
  virtual Result<void> unlink(const std::string& repository, const std::string& digest) = 0;
  virtual Result<ManifestLink> manifest(const std::string& repository, const std::string& digest) const = 0;
  virtual std::vector<ManifestLink> manifests(const std::string& repository) const = 0;

  virtual Result<std::string> tagged(const std::string& repository, const std::string& tag) const = 0;  // the digest
  virtual std::vector<Tagged> tags(const std::string& repository) const = 0;                             // sorted by tag
};

}  // namespace watari::oci
