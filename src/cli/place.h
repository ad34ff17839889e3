#pragma once
// Where the server is: of a root directory on this host, or as the AWS environment variables say.
#include <optional>
#include <string>

#include "base/result.h"

namespace watari::cli {

struct Place {
  std::string endpoint;     // http://127.0.0.1:4566
  std::string region;
  std::string credentials;  // the shared-credentials file; empty: keys come from the environment
  std::string root;         // empty when the environment named the endpoint
};

// With --root (or WATARI_ROOT, or nothing in the environment): ROOT/endpoint and ROOT/credentials. Without, AWS_ENDPOINT_URL
// counts. Unavailable, with how to start the server, when none runs.
Result<Place> find_place(const std::optional<std::string>& root);

}  // namespace watari::cli
