// Repositories and logging in. A repository also comes into being by the first push to it.
#include <algorithm>

#include "aws/credentials.h"
#include "aws/ecr/wire.h"
#include "aws/gen/ecr/create_repository.h"
#include "aws/gen/ecr/delete_repository.h"
#include "aws/gen/ecr/describe_registry.h"
#include "aws/gen/ecr/describe_repositories.h"
#include "aws/gen/ecr/get_authorization_token.h"
#include "aws/gen/ecr/list_tags_for_resource.h"
#include "aws/gen/ecr/put_image_tag_mutability.h"
#include "aws/gen/ecr/tag_resource.h"
#include "aws/gen/ecr/untag_resource.h"
#include "aws/page.h"
#include "base/digest.h"
#include "registry/token.h"

namespace watari::aws::ecr {

namespace {

constexpr Seconds kTokenLife{12 * 60 * 60};  // as AWS's
constexpr std::size_t kMaxTags = 50;

constexpr std::size_t kMaxExclusions = 5;

std::string mutability_of(const oci::RepositorySettings& settings) {
  return std::string(settings.immutable_tags ? "IMMUTABLE" : "MUTABLE") + (settings.tag_exclusions.empty() ? "" : "_WITH_EXCLUSION");
}

// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html
Result<void> set_mutability(oci::RepositorySettings& settings, const std::string& mutability, const std::vector<ImageTagMutabilityExclusionFilter>& filters) {
  const bool excludes = mutability.ends_with("_WITH_EXCLUSION");
  if (excludes == filters.empty())
    return error("InvalidParameterException", "Invalid parameter at 'imageTagMutabilityExclusionFilters': {} {} exclusion filters", mutability, excludes ? "needs" : "has no");
  if (filters.size() > kMaxExclusions)
    return error("InvalidParameterException", "Invalid parameter at 'imageTagMutabilityExclusionFilters': at most {} filters", kMaxExclusions);
  settings.immutable_tags = mutability.starts_with("IMMUTABLE");
  settings.tag_exclusions.clear();
  for (const auto& filter : filters) {
    if (std::ranges::count(filter.filter, '*') > 2)
      return error("InvalidParameterException", "Invalid parameter at 'imageTagMutabilityExclusionFilters': '{}' has more than 2 wildcards", filter.filter);
    settings.tag_exclusions.push_back(filter.filter);
  }
  return {};
}

Repository to_wire(const Call& call, const std::string& name, const oci::RepositorySettings& settings) {
  Repository out;
  out.repositoryArn = repository_arn(call, name);
  out.registryId = call.scope.account;
  out.repositoryName = name;
  out.repositoryUri = registry_host(call) + "/" + name;
  out.createdAt = settings.created_at;
  out.imageTagMutability = mutability_of(settings);
  for (const auto& filter : settings.tag_exclusions) out.imageTagMutabilityExclusionFilters.push_back({.filterType = "WILDCARD", .filter = filter});
  out.imageScanningConfiguration = ImageScanningConfiguration{.scanOnPush = false};
  out.encryptionConfiguration = EncryptionConfiguration{.encryptionType = "AES256"};
  return out;
}

}  // namespace

Result<DescribeRegistryResponse> describe_registry(Call& call, const DescribeRegistryRequest&) {
  DescribeRegistryResponse out;
  out.registryId = call.scope.account;
  out.replicationConfiguration.emplace();
  return out;
}

// Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
Result<GetAuthorizationTokenResponse> get_authorization_token(Call& call, const GetAuthorizationTokenRequest&) {
  if (!call.platform.credentials) return fail(Code::Unavailable, "this server was started without its registry");
  const auto& key = call.platform.credentials->access_key_id();
  const auto found = call.platform.credentials->find(key);
  const Time expires_at = call.now + kTokenLife;
  AuthorizationData data;
  data.authorizationToken = base64("AWS:" + registry::make_token(key, found->secret, expires_at, call.principal == found->principal.arn ? "" : call.principal));
  data.expiresAt = expires_at;
  data.proxyEndpoint = (call.secure ? "https://" : "http://") + registry_host(call);
  GetAuthorizationTokenResponse response;
  response.authorizationData.push_back(std::move(data));
  return response;
}

Result<CreateRepositoryResponse> create_repository(Call& call, const CreateRepositoryRequest& request) {
  TRY(auto* images, images_of(call));
  oci::RepositorySettings settings{.created_at = call.now};
  TRY_VOID(set_mutability(settings, request.imageTagMutability.value_or("MUTABLE"), request.imageTagMutabilityExclusionFilters));
  for (const auto& tag : request.tags) settings.tags[tag.Key] = tag.Value;
  if (settings.tags.size() > kMaxTags) return error("TooManyTagsException", "A repository can have at most {} tags.", kMaxTags);
  auto created = images->repositories().create(request.repositoryName, settings);
  if (!created && created.error().code == Code::AlreadyExists)
    return error("RepositoryAlreadyExistsException", "The repository with name '{}' already exists in the registry with id '{}'", request.repositoryName,
                 call.scope.account);
  if (!created) return fail(std::move(created).error());
  return CreateRepositoryResponse{.repository = to_wire(call, request.repositoryName, settings)};
}

Result<DescribeRepositoriesResponse> describe_repositories(Call& call, const DescribeRepositoriesRequest& request) {
  TRY(auto* images, images_of(call));
  DescribeRepositoriesResponse response;
  if (!request.repositoryNames.empty()) {
    for (const auto& name : request.repositoryNames) {
      TRY(auto settings, find_repository(call, request.registryId, name));
      response.repositories.push_back(to_wire(call, name, settings));
    }
    return response;
  }
  TRY(auto page, paginate(call, images->repositories().names(), request.nextToken, page_size(request.maxResults, 100),
                          [](const std::string& name) { return name; }, "InvalidParameterException"));
  for (const auto& name : page.items)
    if (auto settings = images->repositories().settings(name)) response.repositories.push_back(to_wire(call, name, *settings));
  response.nextToken = page.next_token;
  return response;
}

Result<DeleteRepositoryResponse> delete_repository(Call& call, const DeleteRepositoryRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  TRY(auto* images, images_of(call));
  if (!request.force.value_or(false) && !images->repositories().manifests(request.repositoryName).empty())
    return error("RepositoryNotEmptyException", "The repository with name '{}' in registry with id '{}' cannot be deleted because it still contains images",
                 request.repositoryName, call.scope.account);
  TRY_VOID(images->repositories().remove(request.repositoryName));
  return DeleteRepositoryResponse{.repository = to_wire(call, request.repositoryName, settings)};
}

Result<PutImageTagMutabilityResponse> put_image_tag_mutability(Call& call, const PutImageTagMutabilityRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  TRY_VOID(set_mutability(settings, request.imageTagMutability, request.imageTagMutabilityExclusionFilters));
  TRY_VOID(call.platform.images->repositories().update(request.repositoryName, [&](auto& stored) {
    stored.immutable_tags = settings.immutable_tags;
    stored.tag_exclusions = settings.tag_exclusions;
  }));
  PutImageTagMutabilityResponse response;
  response.registryId = call.scope.account;
  response.repositoryName = request.repositoryName;
  response.imageTagMutability = request.imageTagMutability;
  response.imageTagMutabilityExclusionFilters = request.imageTagMutabilityExclusionFilters;
  return response;
}

Result<ListTagsForResourceResponse> list_tags_for_resource(Call& call, const ListTagsForResourceRequest& request) {
  TRY(auto name, name_of_arn(call, request.resourceArn));
  TRY(auto settings, find_repository(call, std::nullopt, name));
  ListTagsForResourceResponse response;
  for (const auto& [key, value] : settings.tags) response.tags.push_back({.Key = key, .Value = value});
  return response;
}

Result<TagResourceResponse> tag_resource(Call& call, const TagResourceRequest& request) {
  TRY(auto name, name_of_arn(call, request.resourceArn));
  TRY(auto settings, find_repository(call, std::nullopt, name));
  for (const auto& tag : request.tags) settings.tags[tag.Key] = tag.Value;
  if (settings.tags.size() > kMaxTags) return error("TooManyTagsException", "A repository can have at most {} tags.", kMaxTags);
  TRY_VOID(call.platform.images->repositories().update(name, [&](auto& stored) { stored.tags = settings.tags; }));
  return TagResourceResponse{};
}

Result<UntagResourceResponse> untag_resource(Call& call, const UntagResourceRequest& request) {
  TRY(auto name, name_of_arn(call, request.resourceArn));
  TRY(auto settings, find_repository(call, std::nullopt, name));
  for (const auto& key : request.tagKeys) settings.tags.erase(key);
  TRY_VOID(call.platform.images->repositories().update(name, [&](auto& stored) { stored.tags = settings.tags; }));
  return UntagResourceResponse{};
}

}  // namespace watari::aws::ecr
