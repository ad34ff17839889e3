#pragma once
// What pulling and pushing share; for this room only.
#include <functional>
#include <string>
#include <vector>

#include "oci/manifest.h"
#include "registry/remote.h"

namespace watari::registry {

struct Document {
  std::string bytes, digest;
  oci::Manifest manifest;
};

// The answer with its body, of at most 4 MiB (Corrupt above); repeated when the connection breaks.
Result<net::Response> get_document(Remote& from, const std::string& path, const net::Headers& headers);
// A manifest or an index by tag or digest; Corrupt when it is another than the one that was asked for.
Result<Document> get_manifest(Remote& from, const std::string& reference);

// The layers and the config.
std::vector<oci::Descriptor> blobs_of(const oci::Manifest& manifest);

// Runs job(0) … job(count - 1), four at a time; the first error, and then no further jobs.
Result<void> in_parallel(std::size_t count, const std::function<Result<void>(std::size_t)>& job);

// "sha256-<64 digits>": the tag under which registries that cannot list referrers keep the index of them.
// Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
std::string referrers_tag(const std::string& subject);

}  // namespace watari::registry
