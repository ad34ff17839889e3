#include "oci/garbage.h"

#include "base/log.h"
#include "oci/files.h"
#include "oci/manifest.h"
#include "oci/reference.h"

namespace watari::oci {

namespace fs = std::filesystem;

namespace {

void mark(const Shelves& shelves, const std::string& digest, std::set<std::string>& marked) {
  if (!valid_digest(digest) || !marked.insert(digest).second) return;
  auto bytes = shelves.content.get(digest);
  if (!bytes) return;  // a layer, or not here
  auto manifest = parse_manifest(*bytes);
  if (!manifest) return;
  for (const auto& inner : manifest->manifests) mark(shelves, inner.digest, marked);
  Image image;
  for (const auto& layer : manifest->layers) {
    marked.insert(layer.digest);
    image.layers.push_back({.digest = layer.digest});
  }
  if (!manifest->config) return;
  marked.insert(manifest->config->digest);
  auto config = shelves.content.get(manifest->config->digest);
  if (!config || !read_config(*config, image)) return;  // an artifact that is no image
  for (const auto& layer : image.layers) marked.insert(layer.diff_id);
}

// Signatures and the like stay as long as what they speak about.
void mark_referrers(const Shelves& shelves, std::set<std::string>& marked) {
  for (bool more = true; std::exchange(more, false);) {
    for (const auto& repository : shelves.repositories.names()) {
      for (const auto& link : shelves.repositories.manifests(repository)) {
        if (marked.contains(link.digest)) continue;
        auto bytes = shelves.content.get(link.digest);
        auto manifest = bytes ? parse_manifest(*bytes, link.media_type) : fail(bytes.error());
        if (!manifest || !manifest->subject || !marked.contains(manifest->subject->digest)) continue;
        mark(shelves, link.digest, marked);
        more = true;
      }
    }
  }
}

}  // namespace

std::set<std::string> reachable(const Shelves& shelves, const std::vector<std::string>& roots) {
  std::set<std::string> marked;
  for (const auto& root : roots) mark(shelves, root, marked);
  return marked;
}

Result<Pruned> collect_garbage(const Shelves& shelves, const PruneRequest& request, Time now, const fs::path& bin) {
  const auto fresh = [&](Time at) { return now - at < request.grace; };
  std::vector<std::string> roots = request.keep;
  for (const auto& repository : shelves.repositories.names()) {
    for (const auto& tag : shelves.repositories.tags(repository)) roots.push_back(tag.digest);
    for (const auto& link : shelves.repositories.manifests(repository))
      if (fresh(link.put_at)) roots.push_back(link.digest);
  }
  // A manifest that was just written is about to be tagged: what it names must not go before.
  for (const auto& [digest, at] : shelves.content.blobs())
    if (fresh(at)) roots.push_back(digest);
  auto marked = reachable(shelves, roots);
  mark_referrers(shelves, marked);

  Pruned out;
  for (const auto& repository : shelves.repositories.names()) {
    for (const auto& link : shelves.repositories.manifests(repository)) {
      if (marked.contains(link.digest)) continue;
      out.manifests.push_back(repository + "@" + link.digest);
      if (!request.dry_run) TRY_VOID(shelves.repositories.unlink(repository, link.digest));
    }
  }
  for (const auto& [digest, at] : shelves.content.blobs()) {
    if (marked.contains(digest) || fresh(at)) continue;
    out.blobs.push_back(digest);
    out.bytes += shelves.content.size(digest).value_or(0);
    if (!request.dry_run) TRY_VOID(shelves.content.remove(digest));
  }
  for (const auto& diff_id : shelves.layers.diff_ids()) {
    if (marked.contains(diff_id) || fresh(shelves.layers.used_at(diff_id))) continue;
    out.layers.push_back(diff_id);
    if (auto info = shelves.layers.find(diff_id)) out.bytes += info->size;
    if (!request.dry_run) TRY_VOID(shelves.layers.move_away(diff_id, bin));
  }
  return out;
}

}  // namespace watari::oci
