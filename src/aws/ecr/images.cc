// Images of a repository.
#include <algorithm>
#include <map>

#include "aws/ecr/wire.h"
#include "aws/gen/ecr/batch_delete_image.h"
#include "aws/gen/ecr/batch_get_image.h"
#include "aws/gen/ecr/describe_images.h"
#include "aws/gen/ecr/list_images.h"
#include "aws/gen/ecr/put_image.h"
#include "aws/page.h"
#include "base/digest.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "registry/fixed_tags.h"
#include "registry/registry.h"

namespace watari::aws::ecr {

namespace {

// A manifest with the tags that point to it.
struct Held {
  oci::ManifestLink link;
  std::vector<std::string> tags;
};

std::vector<Held> held_by(oci::ImageStore& images, const std::string& repository) {
  std::map<std::string, std::vector<std::string>> tags;
  for (const auto& tagged : images.repositories().tags(repository)) tags[tagged.digest].push_back(tagged.tag);
  std::vector<Held> out;
  for (auto& link : images.repositories().manifests(repository)) out.push_back({link, tags[link.digest]});
  return out;
}

template <class Filter>
bool wanted(const std::optional<Filter>& filter, bool tagged) {
  const auto status = filter ? filter->tagStatus.value_or("ANY") : "ANY";
  return status == "ANY" || (status == "TAGGED") == tagged;
}

// Size of what a pull transfers: the layers and the config.
std::int64_t size_of(oci::ImageStore& images, const std::string& digest) {
  auto bytes = images.content().get(digest);
  auto manifest = bytes ? oci::parse_manifest(*bytes) : fail(bytes.error());
  if (!manifest) return 0;
  std::int64_t size = manifest->config ? manifest->config->size : 0;
  for (const auto& layer : manifest->layers) size += layer.size;
  return size;
}

// The digest that an identifier names, or why not, in AWS's words.
struct Found {
  std::string digest, failure, reason;
};

Found find_image(oci::ImageStore& images, const std::string& repository, const ImageIdentifier& id) {
  if (!id.imageDigest && !id.imageTag) return {"", "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"};
  if (id.imageDigest && !oci::valid_digest(*id.imageDigest))
    return {"", "InvalidImageDigest", "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"};
  if (id.imageTag && !oci::valid_tag(*id.imageTag)) return {"", "InvalidImageTag", "Invalid request parameters: image tag is not valid"};
  const Found missing{"", "ImageNotFound", "Requested image not found"};
  std::string digest = id.imageDigest.value_or("");
  if (id.imageTag) {
    auto tagged = images.repositories().tagged(repository, *id.imageTag);
    if (!tagged) return missing;
    if (!digest.empty() && digest != *tagged) return {"", "ImageTagDoesNotMatchDigest", "Invalid request parameters: image tag does not match digest"};
    digest = *tagged;
  }
  if (!images.repositories().manifest(repository, digest)) return missing;
  return {digest, "", ""};
}

ImageFailure failure_of(const ImageIdentifier& id, const Found& found) {
  ImageFailure out;
  out.imageId = id;
  out.failureCode = found.failure;
  out.failureReason = found.reason;
  return out;
}

ImageDetail detail_of(const Call& call, oci::ImageStore& images, const std::string& repository, const Held& held) {
  ImageDetail out;
  out.registryId = call.scope.account;
  out.repositoryName = repository;
  out.imageDigest = held.link.digest;
  out.imageTags = held.tags;
  out.imageSizeInBytes = size_of(images, held.link.digest);
  out.imagePushedAt = held.link.put_at;
  out.imageManifestMediaType = held.link.media_type;
  return out;
}

}  // namespace

Result<ListImagesResponse> list_images(Call& call, const ListImagesRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  std::vector<ImageIdentifier> ids;
  for (const auto& held : held_by(*call.platform.images, request.repositoryName)) {
    if (!wanted(request.filter, !held.tags.empty())) continue;
    if (held.tags.empty()) ids.push_back({.imageDigest = held.link.digest});
    for (const auto& tag : held.tags) ids.push_back({.imageDigest = held.link.digest, .imageTag = tag});
  }
  const auto key = [](const ImageIdentifier& id) { return id.imageDigest.value_or("") + " " + id.imageTag.value_or(""); };
  std::ranges::sort(ids, {}, key);
  TRY(auto page, paginate(call, std::move(ids), request.nextToken, page_size(request.maxResults, 100), key, "InvalidParameterException"));
  return ListImagesResponse{.imageIds = std::move(page.items), .nextToken = page.next_token};
}

Result<DescribeImagesResponse> describe_images(Call& call, const DescribeImagesRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  auto& images = *call.platform.images;
  auto all = held_by(images, request.repositoryName);
  if (!request.imageIds.empty()) {
    std::vector<std::string> asked;
    for (const auto& id : request.imageIds) {
      auto found = find_image(images, request.repositoryName, id);
      if (found.digest.empty())
        return error("ImageNotFoundException", "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository with name '{}' in the registry with id '{}'",
                     id.imageDigest.value_or("null"), id.imageTag.value_or("null"), request.repositoryName, call.scope.account);
      asked.push_back(found.digest);
    }
    std::erase_if(all, [&](const Held& held) { return std::ranges::find(asked, held.link.digest) == asked.end(); });
  }
  std::erase_if(all, [&](const Held& held) { return !wanted(request.filter, !held.tags.empty()); });
  TRY(auto page, paginate(call, std::move(all), request.nextToken, page_size(request.maxResults, 100),
                          [](const Held& held) { return held.link.digest; }, "InvalidParameterException"));
  DescribeImagesResponse response;
  for (const auto& held : page.items) response.imageDetails.push_back(detail_of(call, images, request.repositoryName, held));
  response.nextToken = page.next_token;
  return response;
}

Result<BatchGetImageResponse> batch_get_image(Call& call, const BatchGetImageRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  auto& images = *call.platform.images;
  BatchGetImageResponse response;
  for (const auto& id : request.imageIds) {
    auto found = find_image(images, request.repositoryName, id);
    auto bytes = found.digest.empty() ? fail(Code::NotFound, "") : images.content().get(found.digest);
    auto link = images.repositories().manifest(request.repositoryName, found.digest);
    const auto& accepted = request.acceptedMediaTypes;
    const bool acceptable = link && (accepted.empty() || std::ranges::find(accepted, link->media_type) != accepted.end());
    if (!bytes || !acceptable) {
      if (found.failure.empty()) found = {"", "ImageNotFound", "Requested image not found in an accepted media type"};
      response.failures.push_back(failure_of(id, found));
      continue;
    }
    Image image;
    image.registryId = call.scope.account;
    image.repositoryName = request.repositoryName;
    image.imageId = ImageIdentifier{.imageDigest = found.digest, .imageTag = id.imageTag};
    image.imageManifest = *std::move(bytes);
    image.imageManifestMediaType = link->media_type;
    response.images.push_back(std::move(image));
  }
  return response;
}

// By tag: the tag goes, and with the last one the image. By digest: the image and all its tags.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html
Result<BatchDeleteImageResponse> batch_delete_image(Call& call, const BatchDeleteImageRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  auto& images = *call.platform.images;
  BatchDeleteImageResponse response;
  for (const auto& id : request.imageIds) {
    const auto found = find_image(images, request.repositoryName, id);
    if (found.digest.empty()) {
      response.failures.push_back(failure_of(id, found));
      continue;
    }
    auto tags = images.repositories().tags(request.repositoryName);
    std::erase_if(tags, [&](const auto& tagged) { return tagged.digest != found.digest; });
    const bool whole = !id.imageTag || tags.size() <= 1;
    if (whole) {
      TRY_VOID(images.repositories().unlink(request.repositoryName, found.digest));
    } else {
      TRY_VOID(images.untag(request.repositoryName, *id.imageTag));
    }
    if (id.imageTag) {
      response.imageIds.push_back({.imageDigest = found.digest, .imageTag = id.imageTag});
    } else if (tags.empty()) {
      response.imageIds.push_back({.imageDigest = found.digest});
    } else {
      for (const auto& tagged : tags) response.imageIds.push_back({.imageDigest = found.digest, .imageTag = tagged.tag});
    }
  }
  return response;
}

Result<PutImageResponse> put_image(Call& call, const PutImageRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  auto& images = *call.platform.images;
  const std::string digest = digest_of(request.imageManifest, request.imageDigest.value_or(""));
  if (request.imageDigest && *request.imageDigest != digest)
    return error("ImageDigestDoesNotMatchException", "The image digest {} does not match that of the manifest, {}.", *request.imageDigest, digest);
  const bool there = images.repositories().manifest(request.repositoryName, digest).has_value();
  const auto tagged = request.imageTag ? images.repositories().tagged(request.repositoryName, *request.imageTag) : fail(Code::NotFound, "");
  if (there && (!request.imageTag || (tagged && *tagged == digest)))
    return error("ImageAlreadyExistsException", "Image with digest '{}' and tag '{}' already exists in the repository with name '{}' in registry with id '{}'", digest,
                 request.imageTag.value_or("null"), request.repositoryName, call.scope.account);
  if (auto* registry = call.platform.registry)
    if (auto blob = registry->access().forbidden(request.repositoryName, request.imageManifest, policy_request(call)); !blob.empty())
      return error("LayersNotFoundException", "The layer with digest '{}' does not exist in the repository with name '{}' in the registry with id '{}'", blob,
                   request.repositoryName, call.scope.account);
  if (request.imageTag) TRY_VOID(registry::may_tag(images, request.repositoryName, *request.imageTag, digest));
  auto stored = images.put_manifest(request.repositoryName, request.imageManifestMediaType.value_or(""), request.imageManifest, {.digest = digest});
  if (!stored && stored.error().code == Code::FailedPrecondition) return error("LayersNotFoundException", "{}", stored.error().message);
  if (!stored) return error("InvalidParameterException", "Invalid parameter at 'imageManifest': {}", stored.error().message);
  if (request.imageTag) TRY_VOID(images.tag(request.repositoryName, *request.imageTag, digest));
  Image image;
  image.registryId = call.scope.account;
  image.repositoryName = request.repositoryName;
  image.imageId = ImageIdentifier{.imageDigest = digest, .imageTag = request.imageTag};
  image.imageManifest = request.imageManifest;
  if (auto link = images.repositories().manifest(request.repositoryName, digest)) image.imageManifestMediaType = link->media_type;
  return PutImageResponse{.image = std::move(image)};
}

}  // namespace watari::aws::ecr
