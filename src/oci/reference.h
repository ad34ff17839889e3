#pragma once
// Names of images, as people and manifests write them. All of them mean the local image.
// Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests (grammar of names and tags)
#include <string>
#include <string_view>

#include "base/result.h"

namespace watari::oci {

struct Reference {
  std::string repository;  // "web", "team/web"; empty for a bare digest
  std::string tag;         // empty when a digest is given, "latest" when neither is
  std::string digest;      // sha256:… or sha512:…
};

// Strips what names this registry: loopback hosts, <account>.dkr.ecr.<region>.amazonaws.com, docker.io (and its library/).
// Other hosts without a port stay a part of the repository ("ghcr.io/team/web"). InvalidArgument for anything else.
Result<Reference> parse_reference(std::string_view text);

bool valid_repository(std::string_view name);
bool valid_tag(std::string_view tag);
// sha256:<64 lower-case hexadecimal digits> or sha512:<128 of them>
// Source: https://github.com/opencontainers/image-spec/blob/main/descriptor.md#registered-algorithms
bool valid_digest(std::string_view digest);
// Files are named by the digits alone: their number tells the algorithm. Anything else gives no valid digest.
std::string digest_from_hex(std::string_view hex);

}  // namespace watari::oci
