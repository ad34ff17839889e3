// Bounds of services' desired counts. There are no scaling policies yet: PutScalingPolicy is not an operation here, and the lists
// of policies and scheduled actions are truly empty.
// Source: https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
#include "aws/gen/application-autoscaling/deregister_scalable_target.h"
#include "aws/gen/application-autoscaling/describe_scalable_targets.h"
#include "aws/gen/application-autoscaling/describe_scaling_activities.h"
#include "aws/gen/application-autoscaling/describe_scaling_policies.h"
#include "aws/gen/application-autoscaling/describe_scheduled_actions.h"
#include "aws/gen/application-autoscaling/list_tags_for_resource.h"
#include "aws/gen/application-autoscaling/register_scalable_target.h"
#include "aws/page.h"
#include "base/id.h"
#include "base/strings.h"
#include "control/control.h"

namespace watari::aws::application_autoscaling {
namespace {

constexpr auto kDimension = "ecs:service:DesiredCount";

std::string resource_id(const model::ScalableTarget& target) { return "service/" + target.cluster + "/" + target.service; }

// "service/cluster/name" -> the service's key
Result<std::string> key_of(const Call& call, const std::string& resource) {
  auto parts = split(resource, '/');
  if (parts.size() != 3 || parts[0] != "service")
    return error("ValidationException", "Unsupported resource ID '{}': it must have the form service/CLUSTER/SERVICE.", resource);
  return control::service_key(call.scope, parts[1], parts[2]);
}

ScalableTarget to_wire(const model::ScalableTarget& target) {
  ScalableTarget out;
  out.ServiceNamespace = "ecs";
  out.ResourceId = resource_id(target);
  out.ScalableDimension = kDimension;
  out.MinCapacity = target.min;
  out.MaxCapacity = target.max;
  out.RoleARN = target.role;
  out.CreationTime = target.created_at;
  out.SuspendedState = SuspendedState{.DynamicScalingInSuspended = target.in_suspended, .DynamicScalingOutSuspended = target.out_suspended,
                                      .ScheduledScalingSuspended = target.scheduled_suspended};
  out.ScalableTargetARN = target.arn;
  return out;
}

std::vector<model::ScalableTarget> targets_of(const Call& call, auto wanted) {
  return matching(call.platform.control->state().scalable_targets, control::scope_prefix(call.scope), wanted);
}

Error no_target(const std::string& resource) {
  return Error{Code::NotFound, fmt::format("No scalable target found for service namespace: ecs, resource ID: {}, scalable dimension: {}", resource, kDimension),
               "ObjectNotFoundException"};
}

}  // namespace

Result<RegisterScalableTargetResponse> register_scalable_target(Call& call, const RegisterScalableTargetRequest& request) {
  auto& control = *call.platform.control;
  auto& state = control.state();
  TRY(auto key, key_of(call, request.ResourceId));
  const auto* service = state.services.find(key);
  if (!service || service->status != "ACTIVE")
    return error("ValidationException", "ECS service doesn't exist: {}", request.ResourceId);
  auto target = state.scalable_targets.get(key).value_or(model::ScalableTarget{});
  bool is_new = target.arn.empty();
  if (is_new && (!request.MinCapacity || !request.MaxCapacity))
    return error("ValidationException", "MinCapacity and MaxCapacity must be given when a scalable target is registered for the first time.");
  if (is_new) {
    target = {.scope = call.scope, .cluster = service->cluster, .service = service->name, .created_at = call.now};
    target.arn = fmt::format("arn:aws:application-autoscaling:{}:{}:scalable-target/{}", call.scope.region, call.scope.account, random_hex(32));
    target.role = fmt::format("arn:aws:iam::{}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService",
                              call.scope.account);
    for (const auto& [name, value] : request.Tags) target.tags.push_back({name, value});
  }
  target.min = request.MinCapacity.value_or(target.min);
  target.max = request.MaxCapacity.value_or(target.max);
  target.role = request.RoleARN.value_or(target.role);
  if (target.min < 0 || target.max < target.min)
    return error("ValidationException", "Maximum capacity cannot be less than minimum capacity (minimum {}, maximum {}).", target.min, target.max);
  if (request.SuspendedState) {
    target.in_suspended = request.SuspendedState->DynamicScalingInSuspended.value_or(target.in_suspended);
    target.out_suspended = request.SuspendedState->DynamicScalingOutSuspended.value_or(target.out_suspended);
    target.scheduled_suspended = request.SuspendedState->ScheduledScalingSuspended.value_or(target.scheduled_suspended);
  }
  TRY_VOID(control.commit([&]() -> Result<void> {
    state.scalable_targets.put(key, target);
    return {};
  }));
  return RegisterScalableTargetResponse{.ScalableTargetARN = target.arn};
}

Result<DeregisterScalableTargetResponse> deregister_scalable_target(Call& call, const DeregisterScalableTargetRequest& request) {
  auto& state = call.platform.control->state();
  TRY(auto key, key_of(call, request.ResourceId));
  if (!state.scalable_targets.has(key)) return fail(no_target(request.ResourceId));
  TRY_VOID(call.platform.control->commit([&]() -> Result<void> {
    state.scalable_targets.erase(key);
    return {};
  }));
  return DeregisterScalableTargetResponse{};
}

Result<DescribeScalableTargetsResponse> describe_scalable_targets(Call& call, const DescribeScalableTargetsRequest& request) {
  auto targets = targets_of(call, [&](const model::ScalableTarget& target) { return among(request.ResourceIds, resource_id(target)); });
  TRY(auto page, paginate(call, std::move(targets), request.NextToken, page_size(request.MaxResults, 50), resource_id,
                          "InvalidNextTokenException"));
  DescribeScalableTargetsResponse response;
  for (const auto& target : page.items) response.ScalableTargets.push_back(to_wire(target));
  response.NextToken = page.next_token;
  return response;
}

Result<DescribeScalingPoliciesResponse> describe_scaling_policies(Call&, const DescribeScalingPoliciesRequest&) {
  return DescribeScalingPoliciesResponse{};
}

Result<DescribeScheduledActionsResponse> describe_scheduled_actions(Call&, const DescribeScheduledActionsRequest&) {
  return DescribeScheduledActionsResponse{};
}

Result<DescribeScalingActivitiesResponse> describe_scaling_activities(Call& call, const DescribeScalingActivitiesRequest& request) {
  DescribeScalingActivitiesResponse response;
  for (const auto& target : targets_of(call, [&](const auto& one) { return request.ResourceId.value_or(resource_id(one)) == resource_id(one); }))
    for (const auto& activity : target.activities) {
      ScalingActivity out;
      out.ActivityId = activity.id;
      out.ServiceNamespace = "ecs";
      out.ResourceId = resource_id(target);
      out.ScalableDimension = kDimension;
      out.Description = activity.description;
      out.Cause = activity.cause;
      out.StartTime = activity.at;
      out.EndTime = activity.at;
      out.StatusCode = "Successful";
      response.ScalingActivities.push_back(out);
    }
  return response;
}

Result<ListTagsForResourceResponse> list_tags_for_resource(Call& call, const ListTagsForResourceRequest& request) {
  ListTagsForResourceResponse response;
  auto found = targets_of(call, [&](const model::ScalableTarget& target) { return target.arn == request.ResourceARN; });
  for (const auto& target : found)
    for (const auto& tag : target.tags) response.Tags[tag.key] = tag.value;
  if (found.empty()) return error("ResourceNotFoundException", "No scalable target has the ARN {}.", request.ResourceARN);
  return response;
}

}  // namespace watari::aws::application_autoscaling
