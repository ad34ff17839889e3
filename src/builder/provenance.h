#pragma once
// Where an image comes from: a statement in the in-toto format with SLSA's provenance, kept beside the image as an OCI referrer together
// with the list of its packages (sbom.h). Values of secrets never get into it, build arguments that look like secrets only by name.
// Source: https://slsa.dev/spec/v1.0/provenance, https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "builder/builder.h"
#include "builder/contexts.h"
#include "builder/image_packages.h"
#include "builder/plan.h"

namespace watari::builder {

inline constexpr std::string_view kInToto = "application/vnd.in-toto+json";

// Something from outside that a build has used.
struct Material {
  std::string uri;               // "https://host/a.tar.gz", "git+https://host/a.git#v1", "docker-image://debian:bookworm"
  std::string algorithm, digest; // "sha256" or "gitCommit", and hexadecimal digits
  friend bool operator==(const Material&, const Material&) = default;
  friend auto operator<=>(const Material&, const Material&) = default;
};

// What the stages of one build fetch. Thread-safe.
class Materials {
 public:
  void add(Material material) {
    std::lock_guard lock(mutex_);
    all_.insert(std::move(material));
  }
  std::set<Material> all() const {
    std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::set<Material> all_;
};

// A build that has made an image.
struct BuildFacts {
  std::string build_id;
  Time started_at{}, ended_at{};
  const BuildRequest& request;
  const Context& context;
  const std::string& dockerfile;  // its text
  const Plan& plan;
  const Materials& materials;     // besides the images of the plan
};

std::string provenance_of(const BuildFacts& facts, const oci::Image& image);

// Where images are that were built without a tag: they and their documents are found by digest.
inline constexpr std::string_view kUntagged = "untagged";

// Attaches both documents to the image in every repository of the build's tags (kUntagged without any) that does not have the image yet: an
// image that is there, which is what a build makes in which nothing has changed, keeps those that it has. To be called before the image is tagged, so that a
// crash leaves no image without them. Blocking.
Result<void> record_origin(oci::ImageStore& images, ImagePackages& known, const oci::Image& image, const BuildFacts& facts);

}  // namespace watari::builder
