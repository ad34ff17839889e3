#include <algorithm>

#include "aws/ecs/wire.h"
#include "aws/gen/ecs/list_tags_for_resource.h"
#include "aws/gen/ecs/tag_resource.h"
#include "aws/gen/ecs/untag_resource.h"
#include "base/strings.h"

namespace watari::aws::ecs {
namespace {

template <class Change>
Result<void> change_in(control::Control& control, auto& table, const std::string& key, Change&& change) {
  auto object = table.get(key);
  if (!object) return error("InvalidParameterException", "The specified resource was not found.");
  auto before = object->tags;
  change(object->tags);
  if (codec::to_json(before) == codec::to_json(object->tags)) return {};
  if (object->tags.size() > 50) return error("InvalidParameterException", "A resource has at most 50 tags; it has {}.", before.size());
  return control.commit([&]() -> Result<void> {
    table.put(key, *object);
    return {};
  });
}

template <class Change>
Result<void> change_task_set(Call& call, const std::string& key, const std::string& id, Change&& change) {
  auto& control = *call.platform.control;
  auto service = control.state().services.get(key);
  if (!service) return error("InvalidParameterException", "The specified resource was not found.");
  auto set = std::ranges::find(service->task_sets, id, [](const model::TaskSet& one) { return one.revision.id; });
  if (set == service->task_sets.end()) return error("InvalidParameterException", "The specified resource was not found.");
  change(set->tags);
  if (set->tags.size() > 50) return error("InvalidParameterException", "A resource has at most 50 tags.");
  return control.commit([&]() -> Result<void> {
    control.state().services.put(key, *service);
    return {};
  });
}

// Finds the object that the ARN names and lets `change` have its tags: change(std::vector<model::Tag>&).
template <class Change>
Result<void> change_tags(Call& call, const std::string& resource, Change&& change) {
  auto& control = *call.platform.control;
  auto& state = control.state();
  auto rest = [&](std::string_view kind) -> std::optional<std::vector<std::string>> {
    auto prefix = arn(call.scope, kind, "");
    if (!resource.starts_with(prefix)) return std::nullopt;
    return split(std::string_view(resource).substr(prefix.size()), '/');
  };
  if (auto parts = rest("cluster"); parts && parts->size() == 1)
    return change_in(control, state.clusters, control::cluster_key(call.scope, (*parts)[0]), change);
  if (auto parts = rest("service"); parts && parts->size() == 2)
    return change_in(control, state.services, control::service_key(call.scope, (*parts)[0], (*parts)[1]), change);
  if (auto parts = rest("task"); parts && parts->size() == 2)
    return change_in(control, state.tasks, control::task_key(call.scope, (*parts)[0], (*parts)[1]), change);
  if (auto parts = rest("task-set"); parts && parts->size() == 4)
    return change_task_set(call, control::service_key(call.scope, (*parts)[0], (*parts)[1]), (*parts)[3], change);
  if (rest("task-definition")) {
    TRY(auto definition, find_task_definition(call, resource));
    return change_in(control, state.task_definitions,
                     control::task_definition_key(call.scope, definition.family, definition.revision), change);
  }
  return error("InvalidParameterException", "Invalid identifier: {} is not the ARN of a cluster, service, task, task set or task definition here.",
               resource);
}

}  // namespace

Result<TagResourceResponse> tag_resource(Call& call, const TagResourceRequest& request) {
  TRY(auto added, tags_from_wire(request.tags));
  TRY_VOID(change_tags(call, request.resourceArn, [&](std::vector<model::Tag>& tags) {
    for (const auto& tag : added) {
      auto found = std::ranges::find(tags, tag.key, &model::Tag::key);
      if (found == tags.end()) tags.push_back(tag);
      else found->value = tag.value;
    }
  }));
  return TagResourceResponse{};
}

Result<UntagResourceResponse> untag_resource(Call& call, const UntagResourceRequest& request) {
  TRY_VOID(change_tags(call, request.resourceArn, [&](std::vector<model::Tag>& tags) {
    std::erase_if(tags, [&](const model::Tag& tag) { return std::ranges::count(request.tagKeys, tag.key) > 0; });
  }));
  return UntagResourceResponse{};
}

Result<ListTagsForResourceResponse> list_tags_for_resource(Call& call, const ListTagsForResourceRequest& request) {
  ListTagsForResourceResponse response;
  TRY_VOID(change_tags(call, request.resourceArn, [&](std::vector<model::Tag>& tags) { response.tags = tags_to_wire(tags); }));
  return response;
}

}  // namespace watari::aws::ecs
