// The image store: what there is, removing tags, collecting garbage.
#include <map>
#include <set>

#include "async/loop.h"
#include "aws/gen/watari/delete_image.h"
#include "aws/gen/watari/inspect_image.h"
#include "aws/gen/watari/list_images.h"
#include "aws/gen/watari/prune_images.h"
#include "builder/builder.h"
#include "control/control.h"
#include "control/images.h"
#include "oci/image_store.h"
#include "oci/reference.h"
#include "oci/referrers.h"
#include "registry/registry.h"

namespace watari::aws::watari {

namespace {

Result<oci::ImageStore*> images_of(Call& call) {
  if (call.platform.images) return call.platform.images;
  return fail(Code::Unavailable, "this server was started without its image store");
}

// Digests of what tasks, services and task definitions need.
std::set<std::string> digests_in_use(Call& call, const oci::ImageStore& images) {
  std::set<std::string> out;
  if (!call.platform.control) return out;
  const auto references = call.platform.control_loop.call([&] { return control::images_in_use(call.platform.control->state()); });
  for (const auto& reference : references) {
    if (auto name = oci::parse_reference(reference); name && !name->digest.empty()) out.insert(name->digest);  // of an index, perhaps
    if (auto image = images.resolve(reference)) out.insert(image->digest);
  }
  return out;
}

}  // namespace

Result<ListImagesResponse> list_images(Call& call, const ListImagesRequest&) {
  TRY(auto* images, images_of(call));
  const auto used = digests_in_use(call, *images);
  ListImagesResponse response;
  for (const auto& tagged : images->tags()) {
    ImageSummary summary;
    summary.repository = tagged.repository;
    summary.tag = tagged.tag;
    summary.digest = tagged.digest;
    summary.updatedAt = tagged.updated_at;
    if (auto image = images->resolve(tagged.digest)) {
      summary.sizeBytes = image->size;
      summary.layers = static_cast<int>(image->layers.size());
      summary.inUse = used.contains(image->digest);
    }
    response.images.push_back(std::move(summary));
  }
  return response;
}

namespace {

// What speaks about the image, or about the index that it was chosen from; in any repository when only its digest is given.
std::vector<oci::Referrer> referrers_of(oci::ImageStore& images, const oci::Reference& name, const oci::Image& image) {
  std::set<std::string> digests{image.digest};
  if (!name.digest.empty()) digests.insert(name.digest);
  else if (auto tagged = images.repositories().tagged(name.repository, name.tag)) digests.insert(*tagged);
  std::map<std::string, oci::Referrer> found;
  const auto look = [&](const std::vector<std::string>& repositories) {
    for (const auto& repository : repositories)
      for (const auto& digest : digests)
        for (auto& each : oci::referrers_of(images.content(), images.repositories(), repository, digest)) found.try_emplace(each.digest, std::move(each));
  };
  if (!name.repository.empty()) look({name.repository});
  // An image that was built elsewhere, or without a tag, and tagged here later.
  if (found.empty()) look(images.repositories().names());
  std::vector<oci::Referrer> out;
  for (auto& [digest, each] : found) out.push_back(std::move(each));
  return out;
}

void describe(const oci::Image& image, InspectImageResponse& out) {
  out.digest = image.digest;
  out.configDigest = image.config_digest;
  out.created = image.created;
  out.os = image.os;
  out.architecture = image.architecture;
  out.sizeBytes = image.size;
  for (const auto& layer : image.layers) out.layers.push_back(layer.digest);
  out.user = image.config.user;
  out.workingDirectory = image.config.working_dir;
  out.entryPoint = image.config.entrypoint;
  out.command = image.config.cmd;
  out.environment = image.config.env;
  out.exposedPorts = image.config.exposed_ports;
  out.volumes = image.config.volumes;
  out.labels = image.config.labels;
}

}  // namespace

Result<InspectImageResponse> inspect_image(Call& call, const InspectImageRequest& request) {
  TRY(auto* images, images_of(call));
  TRY(auto name, oci::parse_reference(request.image));
  auto image = images->resolve(request.image);
  if (!image && image.error().code == Code::NotFound) return error("ResourceNotFoundException", "{}", image.error().message);
  if (!image) return fail(std::move(image).error());
  InspectImageResponse out;
  describe(*image, out);
  for (const auto& each : referrers_of(*images, name, *image)) {
    ImageReferrer referrer;
    referrer.digest = each.digest;
    referrer.artifactType = each.artifact_type;
    referrer.sizeBytes = each.layers.empty() ? 0 : each.layers.front().size;
    referrer.annotations = each.annotations;
    out.referrers.push_back(std::move(referrer));
    if (!request.artifactType || each.artifact_type != *request.artifactType || each.layers.size() != 1) continue;
    TRY(out.document, images->content().get(each.layers.front().digest));
  }
  if (request.artifactType && !out.document)
    return error("ResourceNotFoundException", "{} has no artifact of the type {}; `watari images inspect` lists what it has", request.image, *request.artifactType);
  return out;
}

Result<DeleteImageResponse> delete_image(Call& call, const DeleteImageRequest& request) {
  TRY(auto* images, images_of(call));
  TRY(auto reference, oci::parse_reference(request.image));
  if (reference.tag.empty()) return error("ValidationException", "{} names no tag; give it as NAME:TAG", request.image);
  auto removed = images->untag(reference.repository, reference.tag);
  if (!removed && removed.error().code == Code::NotFound)
    return error("ResourceNotFoundException", "there is no image {}:{}; `watari images` lists them", reference.repository, reference.tag);
  if (!removed) return fail(std::move(removed).error());
  return DeleteImageResponse{};
}

Result<PruneImagesResponse> prune_images(Call& call, const PruneImagesRequest& request) {
  TRY(auto* images, images_of(call));
  const auto used = digests_in_use(call, *images);
  oci::PruneRequest wanted{.keep = {used.begin(), used.end()},
                           .grace = Seconds(request.graceSeconds.value_or(24 * 60 * 60)),
                           .dry_run = request.dryRun.value_or(false)};
  TRY(auto pruned, images->prune(wanted, call.now));
  if (call.platform.registry && !wanted.dry_run) call.platform.registry->uploads().expire(wanted.grace);
  PruneImagesResponse response;
  response.manifests = std::move(pruned.manifests);
  response.blobs = std::move(pruned.blobs);
  response.layers = std::move(pruned.layers);
  response.freedBytes = pruned.bytes;
  if (!call.platform.builder) return response;
  auto collected = call.platform.builder->collect_cache({.age = wanted.grace, .bytes = request.maxCacheMountBytes, .dry_run = wanted.dry_run});
  response.cacheEntries = static_cast<std::int64_t>(collected.entries);
  response.cacheMounts = std::move(collected.mounts);
  *response.freedBytes += collected.bytes;
  return response;
}

}  // namespace watari::aws::watari
