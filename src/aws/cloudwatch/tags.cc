// Tags of alarms.
#include "aws/cloudwatch/wire.h"
#include "aws/gen/cloudwatch/list_tags_for_resource.h"
#include "aws/gen/cloudwatch/tag_resource.h"
#include "aws/gen/cloudwatch/untag_resource.h"

namespace watari::aws::cloudwatch {
namespace {

Result<model::Alarm> find_alarm(Call& call, const std::string& arn) {
  auto prefix = alarm_arn(call.scope, "");
  auto alarm = arn.starts_with(prefix) ? state(call).alarms.get(control::alarm_key(call.scope, arn.substr(prefix.size()))) : std::nullopt;
  if (!alarm) return error("ResourceNotFoundException", "There is no alarm with the ARN {} here.", arn);
  return *std::move(alarm);
}

template <class Change>
Result<void> change_tags(Call& call, const std::string& arn, Change change) {
  TRY(auto alarm, find_alarm(call, arn));
  TRY_VOID(change(alarm.tags));
  return call.platform.control->commit([&]() -> Result<void> {
    state(call).alarms.put(control::alarm_key(call.scope, alarm.name), alarm);
    return {};
  });
}

}  // namespace

Result<TagResourceResponse> tag_resource(Call& call, const TagResourceRequest& request) {
  TRY_VOID(change_tags(call, request.ResourceARN, [&](auto& tags) { return merge_tags(tags, request.Tags, "InvalidParameterValue"); }));
  return TagResourceResponse{};
}

Result<UntagResourceResponse> untag_resource(Call& call, const UntagResourceRequest& request) {
  TRY_VOID(change_tags(call, request.ResourceARN, [&](auto& tags) { return remove_tags(tags, request.TagKeys); }));
  return UntagResourceResponse{};
}

Result<ListTagsForResourceResponse> list_tags_for_resource(Call& call, const ListTagsForResourceRequest& request) {
  TRY(auto alarm, find_alarm(call, request.ResourceARN));
  return ListTagsForResourceResponse{.Tags = to_wire_tags<Tag>(alarm.tags)};
}

}  // namespace watari::aws::cloudwatch
