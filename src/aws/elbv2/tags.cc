#include <algorithm>

#include "aws/elbv2/wire.h"
#include "aws/gen/elbv2/add_tags.h"
#include "aws/gen/elbv2/describe_tags.h"
#include "aws/gen/elbv2/remove_tags.h"

namespace watari::aws::elbv2 {

namespace {

template <class Object, class Change>
Result<void> change_in(store::Table<Object>& table, Object object, Change& change) {
  if (change(object.tags)) table.put(object.arn, object);
  if (object.tags.size() > 50) return error("TooManyTags", "A resource can have at most 50 tags");
  return {};
}

// Finds what the ARN names; change(tags) returns whether it changed them.
template <class Change>
Result<void> change_tags(Call& call, const std::string& arn, Change change) {
  auto& state = state_of(call);
  if (arn.contains(":loadbalancer/")) {
    TRY(auto object, find_load_balancer(call, arn));
    return change_in(state.load_balancers, std::move(object), change);
  }
  if (arn.contains(":targetgroup/")) {
    TRY(auto object, find_target_group(call, arn));
    return change_in(state.target_groups, std::move(object), change);
  }
  if (arn.contains(":listener/")) {
    TRY(auto object, find_listener(call, arn));
    return change_in(state.listeners, std::move(object), change);
  }
  if (arn.contains(":listener-rule/")) {
    TRY(auto object, find_rule(call, arn));
    return change_in(state.rules, std::move(object), change);
  }
  return error(kInvalid, "'{}' is not a valid ARN of a load balancer, target group, listener or rule", arn);
}

}  // namespace

Result<AddTagsResponse> add_tags(Call& call, const AddTagsRequest& request) {
  TRY(auto added, tags_from_wire(request.Tags));
  TRY_VOID(call.platform.control->commit([&]() -> Result<void> {
    for (const auto& arn : request.ResourceArns)
      TRY_VOID(change_tags(call, arn, [&](std::vector<model::Tag>& tags) {
        for (const auto& tag : added) {
          auto found = std::ranges::find(tags, tag.key, &model::Tag::key);
          if (found == tags.end()) tags.push_back(tag);
          else found->value = tag.value;
        }
        return true;
      }));
    return {};
  }));
  return AddTagsResponse{};
}

Result<RemoveTagsResponse> remove_tags(Call& call, const RemoveTagsRequest& request) {
  TRY_VOID(call.platform.control->commit([&]() -> Result<void> {
    for (const auto& arn : request.ResourceArns)
      TRY_VOID(change_tags(call, arn, [&](std::vector<model::Tag>& tags) {
        std::erase_if(tags, [&](const model::Tag& tag) { return std::ranges::find(request.TagKeys, tag.key) != request.TagKeys.end(); });
        return true;
      }));
    return {};
  }));
  return RemoveTagsResponse{};
}

Result<DescribeTagsResponse> describe_tags(Call& call, const DescribeTagsRequest& request) {
  DescribeTagsResponse response;
  for (const auto& arn : request.ResourceArns)
    TRY_VOID(change_tags(call, arn, [&](const std::vector<model::Tag>& tags) {
      response.TagDescriptions.push_back({.ResourceArn = arn, .Tags = tags_to_wire(tags)});
      return false;
    }));
  return response;
}

}  // namespace watari::aws::elbv2
