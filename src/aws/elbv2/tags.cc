#include "aws/elbv2/wire.h"
#include "aws/gen/elbv2/add_tags.h"
#include "aws/gen/elbv2/describe_tags.h"
#include "aws/gen/elbv2/remove_tags.h"

namespace watari::aws::elbv2 {

namespace {

// Calls visit(table, object) with what the ARN names.
template <class Visit>
Result<void> visit_tagged(Call& call, const std::string& arn, Visit visit) {
  auto& state = state_of(call);
  if (arn.contains(":loadbalancer/")) {
    TRY(auto object, find_load_balancer(call, arn));
    return visit(state.load_balancers, std::move(object));
  }
  if (arn.contains(":targetgroup/")) {
    TRY(auto object, find_target_group(call, arn));
    return visit(state.target_groups, std::move(object));
  }
  if (arn.contains(":listener/")) {
    TRY(auto object, find_listener(call, arn));
    return visit(state.listeners, std::move(object));
  }
  if (arn.contains(":listener-rule/")) {
    TRY(auto object, find_rule(call, arn));
    return visit(state.rules, std::move(object));
  }
  return error(kInvalid, "'{}' is not a valid ARN of a load balancer, target group, listener or rule", arn);
}

// All of them or, when one is not there or change(tags) fails, none.
template <class Change>
Result<void> change_tags(Call& call, const std::vector<std::string>& arns, Change change) {
  return call.platform.control->commit([&]() -> Result<void> {
    for (const auto& arn : arns)
      TRY_VOID(visit_tagged(call, arn, [&](auto& table, auto object) -> Result<void> {
        TRY_VOID(change(object.tags));
        table.put(arn, object);
        return {};
      }));
    return {};
  });
}

}  // namespace

Result<AddTagsResponse> add_tags(Call& call, const AddTagsRequest& request) {
  TRY_VOID(tags_from_wire(request.Tags));
  TRY_VOID(change_tags(call, request.ResourceArns, [&](std::vector<model::Tag>& tags) { return merge_tags(tags, request.Tags, "TooManyTags"); }));
  return AddTagsResponse{};
}

Result<RemoveTagsResponse> remove_tags(Call& call, const RemoveTagsRequest& request) {
  TRY_VOID(change_tags(call, request.ResourceArns, [&](std::vector<model::Tag>& tags) { return aws::remove_tags(tags, request.TagKeys); }));
  return RemoveTagsResponse{};
}

Result<DescribeTagsResponse> describe_tags(Call& call, const DescribeTagsRequest& request) {
  DescribeTagsResponse response;
  for (const auto& arn : request.ResourceArns)
    TRY_VOID(visit_tagged(call, arn, [&](auto&, const auto& object) -> Result<void> {
      response.TagDescriptions.push_back({.ResourceArn = arn, .Tags = to_wire_tags<Tag>(object.tags)});
      return {};
    }));
  return response;
}

}  // namespace watari::aws::elbv2
