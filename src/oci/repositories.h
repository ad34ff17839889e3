#pragma once
// Which manifests a repository holds and what its tags point to. On disk, below ROOT/images/repositories/<name, percent-encoded>/:
//   tags/<tag>           one line: the digest; its mtime is the time of the tagging
//   manifests/<hex>      one line: the media type it was put with
// Every change is one rename or one unlink. Thread-safe.
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace watari::oci {

struct Tagged;

struct ManifestLink {
  std::string digest, media_type;
  Time put_at{};
};

class Repositories {
 public:
  virtual ~Repositories() = default;
  virtual std::vector<std::string> names() const = 0;  // sorted; those that hold something
  virtual bool exists(const std::string& repository) const = 0;

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
