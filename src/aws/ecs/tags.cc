#include <algorithm>

#include "aws/ecs/wire.h"
#include "aws/gen/ecs/list_tags_for_resource.h"
#include "aws/gen/ecs/tag_resource.h"
#include "aws/gen/ecs/untag_resource.h"
#include "base/strings.h"

namespace watari::aws::ecs {
namespace {

// Calls visit(tags, put): put() stores the object with the tags as they are then.
template <class Visit>
Result<void> visit_in(control::Control& control, auto& table, const std::string& key, Visit& visit) {
  auto object = table.get(key);
  if (!object) return error("InvalidParameterException", "The specified resource was not found.");
  return visit(object->tags, [&] {
    return control.commit([&]() -> Result<void> {
      table.put(key, *object);
      return {};
    });
  });
}

// The same for one of the service's task sets.
template <class Visit>
Result<void> visit_task_set(control::Control& control, const std::string& service, const std::string& id, Visit& visit) {
  auto object = control.state().services.get(service);
  auto none = error("InvalidParameterException", "The specified resource was not found.");
  if (!object) return none;
  auto set = std::ranges::find(object->task_sets, id, [](const model::TaskSet& one) { return one.revision.id; });
  if (set == object->task_sets.end()) return none;
  return visit(set->tags, [&] {
    return control.commit([&]() -> Result<void> {
      control.state().services.put(service, *object);
      return {};
    });
  });
}

// Finds the object that the ARN names.
template <class Visit>
Result<void> visit_tags(Call& call, const std::string& resource, Visit visit) {
  auto& control = *call.platform.control;
  auto& state = control.state();
  auto rest = [&](std::string_view kind) -> std::optional<std::vector<std::string>> {
    auto prefix = arn(call.scope, kind, "");
    if (!resource.starts_with(prefix)) return std::nullopt;
    return split(std::string_view(resource).substr(prefix.size()), '/');
  };
  if (auto parts = rest("cluster"); parts && parts->size() == 1)
    return visit_in(control, state.clusters, control::cluster_key(call.scope, (*parts)[0]), visit);
  if (auto parts = rest("service"); parts && parts->size() == 2)
    return visit_in(control, state.services, control::service_key(call.scope, (*parts)[0], (*parts)[1]), visit);
  if (auto parts = rest("task"); parts && parts->size() == 2)
    return visit_in(control, state.tasks, control::task_key(call.scope, (*parts)[0], (*parts)[1]), visit);
  if (auto parts = rest("task-set"); parts && parts->size() == 4)
    return visit_task_set(control, control::service_key(call.scope, (*parts)[0], (*parts)[1]), (*parts)[3], visit);
  if (rest("task-definition")) {
    TRY(auto definition, find_task_definition(call, resource));
    return visit_in(control, state.task_definitions,
                     control::task_definition_key(call.scope, definition.family, definition.revision), visit);
  }
  return error("InvalidParameterException", "Invalid identifier: {} is not the ARN of a cluster, service, task, task set or task definition here.",
               resource);
}

template <class Change>
Result<void> change_tags(Call& call, const std::string& resource, Change change) {
  return visit_tags(call, resource, [&](std::vector<model::Tag>& tags, auto put) -> Result<void> {
    TRY_VOID(change(tags));
    return put();
  });
}

}  // namespace

Result<TagResourceResponse> tag_resource(Call& call, const TagResourceRequest& request) {
  TRY_VOID(tags_from_wire(request.tags));
  TRY_VOID(change_tags(call, request.resourceArn, [&](auto& tags) { return merge_tags(tags, request.tags, "InvalidParameterException"); }));
  return TagResourceResponse{};
}

Result<UntagResourceResponse> untag_resource(Call& call, const UntagResourceRequest& request) {
  TRY_VOID(change_tags(call, request.resourceArn, [&](auto& tags) { return remove_tags(tags, request.tagKeys); }));
  return UntagResourceResponse{};
}

Result<ListTagsForResourceResponse> list_tags_for_resource(Call& call, const ListTagsForResourceRequest& request) {
  ListTagsForResourceResponse response;
  TRY_VOID(visit_tags(call, request.resourceArn, [&](const std::vector<model::Tag>& tags, auto) -> Result<void> {
    response.tags = tags_to_wire(tags);
    return {};
  }));
  return response;
}

}  // namespace watari::aws::ecs
