#pragma once
// Manifests, indexes and configs: JSON from and to values. Pure.
// Source: https://github.com/opencontainers/image-spec/blob/main/manifest.md, image-index.md, config.md,
//         https://distribution.github.io/distribution/spec/manifest-v2-2/
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "oci/image_store.h"

namespace watari::oci {

inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerIndex = "application/vnd.docker.distribution.manifest.list.v2+json";

struct Descriptor {
  std::string media_type, digest, artifact_type;
  std::int64_t size = 0;
  std::string architecture, os;  // of an index's entry
  std::map<std::string, std::string> annotations;
};

// An image manifest or an index, whichever `media_type` says.
struct Manifest {
  std::string media_type, artifact_type;
  bool is_index = false;
  std::optional<Descriptor> config;
  std::vector<Descriptor> layers;     // of a manifest
  std::vector<Descriptor> manifests;  // of an index
  std::optional<Descriptor> subject;
  std::map<std::string, std::string> annotations;
};

// `content_type` is what the client or the link said; "" takes the document's own mediaType. InvalidArgument when it is neither of the
// four types above, is damaged, or contradicts its own mediaType.
Result<Manifest> parse_manifest(std::string_view json, std::string_view content_type = {});

// The entry for linux/amd64; FailedPrecondition lists the platforms there are.
Result<Descriptor> select_platform(const Manifest& index);

// Fills everything but digests and sizes of `image` from a config document, and diff ids (layers must be there already, in number).
Result<void> read_config(std::string_view json, Image& image);
std::string write_config(const Image& image);
std::string write_manifest(const Image& image, std::int64_t config_size);

}  // namespace watari::oci
