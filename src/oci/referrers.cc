#include "oci/referrers.h"

#include "base/digest.h"
#include "codec/json.h"

namespace watari::oci {

using codec::Json;

namespace {

Json descriptor(std::string_view type, const std::string& digest, std::size_t size) {
  return Json::object({{"mediaType", type}, {"digest", digest}, {"size", static_cast<std::int64_t>(size)}});
}

}  // namespace

std::vector<Referrer> referrers_of(const Content& content, const Repositories& repositories, const std::string& repository, const std::string& digest) {
  std::vector<Referrer> out;
  for (const auto& link : repositories.manifests(repository)) {
    auto bytes = content.get(link.digest);
    auto manifest = bytes ? parse_manifest(*bytes, link.media_type) : fail(bytes.error());
    if (!manifest || !manifest->subject || manifest->subject->digest != digest) continue;
    auto type = manifest->artifact_type.empty() && manifest->config ? manifest->config->media_type : manifest->artifact_type;
    out.push_back({link.digest, link.media_type, std::move(type), static_cast<std::int64_t>(bytes->size()), std::move(manifest->annotations), std::move(manifest->layers)});
  }
  return out;
}

std::string write_artifact(const Artifact& artifact, const std::string& document_digest, const Descriptor& subject) {
  auto manifest = Json::object({{"schemaVersion", 2},
                                {"mediaType", kOciManifest},
                                {"artifactType", artifact.type},
                                {"config", descriptor("application/vnd.oci.empty.v1+json", "sha256:" + sha256_hex(kEmptyConfig), kEmptyConfig.size())},
                                {"layers", Json::array({descriptor(artifact.type, document_digest, artifact.document.size())})},
                                {"subject", descriptor(subject.media_type, subject.digest, static_cast<std::size_t>(subject.size))}});
  if (!artifact.annotations.empty()) {
    auto annotations = Json::object();
    for (const auto& [name, value] : artifact.annotations) annotations.set(name, Json(value));
    manifest.set("annotations", std::move(annotations));
  }
  return manifest.dump();
}

}  // namespace watari::oci
