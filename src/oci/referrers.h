#pragma once
// What speaks about an image: artifacts (lists of packages, provenance, signatures) whose manifests name it as their subject.
// Source: https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage,
//         https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
#include <map>
#include <string>
#include <vector>

#include "oci/content.h"
#include "oci/manifest.h"
#include "oci/repositories.h"

namespace watari::oci {

struct Referrer {
  std::string digest, media_type, artifact_type;  // without an artifactType: the type of its config
  std::int64_t size = 0;                          // of its manifest
  std::map<std::string, std::string> annotations;
  std::vector<Descriptor> layers;  // the documents
};

// Those that the repository holds, by digest; nothing for a digest that nobody knows. Reads every manifest of the repository.
std::vector<Referrer> referrers_of(const Content& content, const Repositories& repositories, const std::string& repository, const std::string& digest);

// The manifest of an artifact of one document, which is a blob of its type. Deterministic.
std::string write_artifact(const Artifact& artifact, const std::string& document_digest, const Descriptor& subject);
// The config that every such artifact has.
inline constexpr std::string_view kEmptyConfig = "{}";

}  // namespace watari::oci
