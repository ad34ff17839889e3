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

// Each manifest once, however often indexes name it. What a config says of layers is the word of whoever wrote it: reason enough to refuse,
// none to allow; so this is not the walk of what pruning keeps.
bool BlobAccess::has(const std::string& repository, const std::string& digest, Configs configs) const {
  std::vector<std::string> next;
  for (const auto& link : images_.repositories().manifests(repository)) next.push_back(link.digest);
  for (std::set<std::string> seen; !next.empty();) {
    auto manifest = std::move(next.back());
    next.pop_back();
    if (manifest == digest) return true;
    if (!seen.insert(manifest).second) continue;
    auto bytes = images_.content().get(manifest);
    auto parsed = bytes ? oci::parse_manifest(*bytes) : tl::unexpected(bytes.error());
    if (!parsed) continue;
    auto blobs = blobs_of(*parsed);
    if (std::ranges::find(blobs, digest) != blobs.end()) return true;
    // A layer can be asked for by its diff id, too.
    if (configs == Configs::Believed && parsed->config && images_.content().get(parsed->config->digest).value_or("").contains(digest)) return true;
    for (const auto& each : parsed->manifests) next.push_back(each.digest);
  }
  return false;
}

bool BlobAccess::allows(const std::string& repository, const std::string& digest, PolicyRequest who) {
  const auto restricted = policies();
  if (restricted.empty() || has(repository, digest, Configs::Ignored)) return true;
  {
    std::lock_guard lock(mutex_);
    if (brought_.contains({who.principal, digest})) return true;
  }
  who.action = "ecr:GetDownloadUrlForLayer";
  auto closed = [&](const std::string& name) {
    auto policy = restricted.find(name);
    return policy != restricted.end() && denies(policy->second, who);
  };
  if (std::ranges::none_of(restricted, [&](const auto& entry) { return closed(entry.first) && has(entry.first, digest, Configs::Believed); })) return true;
  return std::ranges::any_of(images_.repositories().names(), [&](const auto& name) { return !closed(name) && has(name, digest, Configs::Ignored); });
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
