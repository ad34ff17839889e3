// Tags of parameters.
#include <algorithm>

#include "aws/gen/ssm/add_tags_to_resource.h"
#include "aws/gen/ssm/list_tags_for_resource.h"
#include "aws/gen/ssm/remove_tags_from_resource.h"
#include "aws/ssm/wire.h"

namespace watari::aws::ssm {
namespace {

constexpr std::size_t kMaxTags = 50;

Result<const vault::Parameter*> find(const Call& call, const std::string& name) {
  const auto* parameter = call.platform.vault->find(call.scope, name);
  if (!parameter) return error("InvalidResourceId", "Parameter {} not found.", name);
  return parameter;
}

}  // namespace

Result<AddTagsToResourceResponse> add_tags_to_resource(Call& call, const AddTagsToResourceRequest& request) {
  TRY(const auto* parameter, find(call, request.ResourceId));
  auto tags = parameter->tags;
  for (const auto& tag : request.Tags) {
    auto old = std::ranges::find(tags, tag.Key, &model::Tag::key);
    if (old != tags.end()) old->value = tag.Value;
    else tags.push_back({tag.Key, tag.Value});
  }
  if (tags.size() > kMaxTags) return error("TooManyTagsError", "A parameter can have at most {} tags.", kMaxTags);
  TRY_VOID(call.platform.vault->set_tags(call.scope, request.ResourceId, std::move(tags)));
  return AddTagsToResourceResponse{};
}

Result<RemoveTagsFromResourceResponse> remove_tags_from_resource(Call& call, const RemoveTagsFromResourceRequest& request) {
  TRY(const auto* parameter, find(call, request.ResourceId));
  auto tags = parameter->tags;
  std::erase_if(tags, [&](const model::Tag& tag) { return std::ranges::find(request.TagKeys, tag.key) != request.TagKeys.end(); });
  TRY_VOID(call.platform.vault->set_tags(call.scope, request.ResourceId, std::move(tags)));
  return RemoveTagsFromResourceResponse{};
}

Result<ListTagsForResourceResponse> list_tags_for_resource(Call& call, const ListTagsForResourceRequest& request) {
  TRY(const auto* parameter, find(call, request.ResourceId));
  ListTagsForResourceResponse response;
  for (const auto& tag : parameter->tags) response.TagList.push_back({.Key = tag.key, .Value = tag.value});
  return response;
}

}  // namespace watari::aws::ssm
