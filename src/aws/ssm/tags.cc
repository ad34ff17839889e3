// Tags of parameters.
#include "aws/gen/ssm/add_tags_to_resource.h"
#include "aws/gen/ssm/list_tags_for_resource.h"
#include "aws/gen/ssm/remove_tags_from_resource.h"
#include "aws/ssm/wire.h"
#include "aws/tags.h"

namespace watari::aws::ssm {
namespace {

Result<const vault::Parameter*> find(const Call& call, const std::string& name) {
  const auto* parameter = call.platform.vault->find(call.scope, name);
  if (!parameter) return error("InvalidResourceId", "Parameter {} not found.", name);
  return parameter;
}

}  // namespace

Result<AddTagsToResourceResponse> add_tags_to_resource(Call& call, const AddTagsToResourceRequest& request) {
  TRY(const auto* parameter, find(call, request.ResourceId));
  auto tags = parameter->tags;
  TRY_VOID(merge_tags(tags, request.Tags, "TooManyTagsError"));
  TRY_VOID(call.platform.vault->set_tags(call.scope, request.ResourceId, std::move(tags)));
  return AddTagsToResourceResponse{};
}

Result<RemoveTagsFromResourceResponse> remove_tags_from_resource(Call& call, const RemoveTagsFromResourceRequest& request) {
  TRY(const auto* parameter, find(call, request.ResourceId));
  auto tags = parameter->tags;
  TRY_VOID(remove_tags(tags, request.TagKeys));
  TRY_VOID(call.platform.vault->set_tags(call.scope, request.ResourceId, std::move(tags)));
  return RemoveTagsFromResourceResponse{};
}

Result<ListTagsForResourceResponse> list_tags_for_resource(Call& call, const ListTagsForResourceRequest& request) {
  TRY(const auto* parameter, find(call, request.ResourceId));
  return ListTagsForResourceResponse{.TagList = to_wire_tags<Tag>(parameter->tags)};
}

}  // namespace watari::aws::ssm
