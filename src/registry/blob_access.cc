#include "registry/blob_access.h"

#include <algorithm>

#include "oci/manifest.h"

namespace watari::registry {

namespace {
constexpr std::size_t kRemembered = 100'000;

std::vector<std::string> blobs_of(const oci::Manifest& manifest) {
  std::vector<std::string> out;
  if (manifest.config) out.push_back(manifest.config->digest);
  for (const auto* list : {&manifest.layers, &manifest.manifests})
    for (const auto& each : *list) out.push_back(each.digest);
  return out;
}
}  // namespace

// Reading the settings of all repositories takes longer than answering a request, and they hardly ever change.
std::map<std::string, std::string> BlobAccess::policies() {
  std::lock_guard lock(mutex_);
  auto& repositories = images_.repositories();
  if (auto version = repositories.settings_version(); version != policies_of_) {
    policies_.clear();
    for (const auto& name : repositories.names())
      if (auto settings = repositories.settings(name); settings && !settings->policy.empty()) policies_[name] = settings->policy;
    policies_of_ = version;
  }
  return policies_;
}

bool BlobAccess::names(const std::string& manifest, const std::string& digest) const {
  if (manifest == digest) return true;
  auto bytes = images_.content().get(manifest);
  auto parsed = bytes ? oci::parse_manifest(*bytes) : tl::unexpected(bytes.error());
  if (!parsed) return false;
  auto blobs = blobs_of(*parsed);
  if (std::ranges::find(blobs, digest) != blobs.end()) return true;
  return std::ranges::any_of(parsed->manifests, [&](const auto& each) { return names(each.digest, digest); });
}

bool BlobAccess::has(const std::string& repository, const std::string& digest) const {
  return std::ranges::any_of(images_.repositories().manifests(repository), [&](const auto& link) { return names(link.digest, digest); });
}

bool BlobAccess::allows(const std::string& repository, const std::string& digest, PolicyRequest who) {
  const auto restricted = policies();
  if (restricted.empty() || has(repository, digest)) return true;
  {
    std::lock_guard lock(mutex_);
    if (brought_.contains({who.principal, digest})) return true;
  }
  who.action = "ecr:GetDownloadUrlForLayer";
  auto closed = [&](const std::string& name) {
    auto policy = restricted.find(name);
    return policy != restricted.end() && denies(policy->second, who);
  };
  if (std::ranges::none_of(restricted, [&](const auto& entry) { return closed(entry.first) && has(entry.first, digest); })) return true;
  return std::ranges::any_of(images_.repositories().names(), [&](const auto& name) { return !closed(name) && has(name, digest); });
}

std::string BlobAccess::forbidden(const std::string& repository, std::string_view manifest, const PolicyRequest& who) {
  auto parsed = oci::parse_manifest(manifest);
  if (!parsed) return "";  // the store says what is wrong with it
  for (const auto& digest : blobs_of(*parsed))
    if (!allows(repository, digest, who)) return digest;
  return "";
}

void BlobAccess::brought(const std::string& principal, const std::string& digest) {
  std::lock_guard lock(mutex_);
  if (brought_.size() >= kRemembered) brought_.clear();
  brought_.emplace(principal, digest);
}

}  // namespace watari::registry
