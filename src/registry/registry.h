#pragma once
// The OCI distribution API (version 1.1) over the image store: what docker, skopeo and buildah push to and pull from.
// Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
//
//   server.route_stream("/v2", registry->handler());
//
// One object a server, owned by apps; its handler runs on the server's streaming threads, any number at once. Every request reads and
// writes the store directly, so nothing is lost when the process dies: an upload goes on at the offset that has arrived.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "net/server.h"
#include "oci/image_store.h"
#include "registry/blob_access.h"
#include "registry/pull_through.h"
#include "registry/transfers.h"
#include "registry/uploads.h"

namespace watari::registry {

struct Options {
  oci::ImageStore& images;
  std::filesystem::path uploads;  // ROOT/images/uploads; same file system as the store
  const Clock& clock;
  // The secret of an access key id, or nothing when there is no such key. Any thread.
  std::function<std::optional<std::string>(std::string_view access_key)> secret_of;
  PullThrough::LoginOf login_of;  // for other registries
  std::string principal, account;  // of the user behind every key, for repository policies
  Mirrors mirrors;  // of other registries
};

class Registry {
 public:
  // Removes uploads that nobody has touched for a day; the owner repeats that from time to time (uploads().expire()).
  static Result<std::unique_ptr<Registry>> open(Options options);
  virtual ~Registry() = default;
  // Valid as long as this object lives.
  virtual net::StreamHandler handler() = 0;
  // Where an image of another registry can come from, with the logins that the region keeps.
  virtual Result<Sources> sources(const RemoteName& name, const std::string& region) = 0;
  virtual PullThrough& pull_through() = 0;
  virtual Transfers& transfers() = 0;  // pulls from and pushes to other registries
  virtual BlobAccess& access() = 0;
  virtual Uploads& uploads() = 0;  // blobs on their way in, also those that come by ECR's API
};

}  // namespace watari::registry
