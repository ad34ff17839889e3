// Log groups and streams: create, describe, delete, retention, tags.
// Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/
#include <algorithm>

#include "aws/gen/logs/create_log_group.h"
#include "aws/gen/logs/create_log_stream.h"
#include "aws/gen/logs/delete_log_group.h"
#include "aws/gen/logs/delete_log_stream.h"
#include "aws/gen/logs/delete_retention_policy.h"
#include "aws/gen/logs/describe_log_groups.h"
#include "aws/gen/logs/describe_log_streams.h"
#include "aws/gen/logs/list_tags_for_resource.h"
#include "aws/gen/logs/put_retention_policy.h"
#include "aws/gen/logs/tag_resource.h"
#include "aws/gen/logs/untag_resource.h"
#include "aws/logs/names.h"
#include "aws/page.h"

namespace watari::aws::logs {
namespace {

constexpr std::string_view kBadToken = "InvalidParameterException";
constexpr std::size_t kMaxTags = 50;

std::int64_t ms(Time time) { return time.time_since_epoch().count(); }

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

LogGroup describe(const Call& call, const ::watari::logs::GroupInfo& group) {
  LogGroup out{.logGroupName = group.name, .creationTime = ms(group.created), .retentionInDays = group.retention_days, .metricFilterCount = 0};
  out.arn = group_arn(call, group.name) + ":*";
  out.storedBytes = store(call).stored_bytes(call.scope.key(), group.name);
  out.logGroupClass = "STANDARD";
  out.logGroupArn = group_arn(call, group.name);
  return out;
}

LogStream describe(const Call& call, const std::string& group, const ::watari::logs::StreamInfo& stream) {
  LogStream out{.logStreamName = stream.name, .creationTime = ms(stream.created)};
  if (stream.first_event) out.firstEventTimestamp = ms(*stream.first_event);
  if (stream.last_event) out.lastEventTimestamp = out.lastIngestionTime = ms(*stream.last_event);
  out.arn = group_arn(call, group) + ":log-stream:" + stream.name;
  out.storedBytes = stream.stored_bytes;
  return out;
}

// A stream and the place that its order gives it.
struct Ranked {
  std::string name;
  std::string rank;
};

std::vector<Ranked> rank(const Call& call, const std::string& group, std::vector<std::string> names, bool by_time) {
  std::vector<Ranked> out;
  for (auto& name : names) {
    auto order = by_time ? fmt::format("{:020} {}", ms(store(call).last_written(call.scope.key(), group, name)), name) : name;
    out.push_back({std::move(name), std::move(order)});
  }
  std::ranges::sort(out, {}, &Ranked::rank);
  return out;
}

}  // namespace

Result<CreateLogGroupResponse> create_log_group(Call& call, const CreateLogGroupRequest& request) {
  TRY_VOID(store(call).create_group(call.scope.key(), request.logGroupName, request.tags));
  return CreateLogGroupResponse{};
}

Result<CreateLogStreamResponse> create_log_stream(Call& call, const CreateLogStreamRequest& request) {
  TRY_VOID(store(call).create_stream(call.scope.key(), request.logGroupName, request.logStreamName));
  return CreateLogStreamResponse{};
}

Result<DeleteLogGroupResponse> delete_log_group(Call& call, const DeleteLogGroupRequest& request) {
  TRY_VOID(store(call).delete_group(call.scope.key(), request.logGroupName));
  return DeleteLogGroupResponse{};
}

Result<DeleteLogStreamResponse> delete_log_stream(Call& call, const DeleteLogStreamRequest& request) {
  TRY_VOID(store(call).delete_stream(call.scope.key(), request.logGroupName, request.logStreamName));
  return DeleteLogStreamResponse{};
}

Result<DescribeLogGroupsResponse> describe_log_groups(Call& call, const DescribeLogGroupsRequest& request) {
  if (request.logGroupNamePrefix && request.logGroupNamePattern)
    return error("InvalidParameterException", "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.");
  auto names = store(call).groups(call.scope.key());
  std::erase_if(names, [&](const std::string& name) {
    if (request.logGroupNamePrefix) return !name.starts_with(*request.logGroupNamePrefix);
    return lower(name).find(lower(request.logGroupNamePattern.value_or(""))) == std::string::npos;
  });
  TRY(auto page, paginate(call, std::move(names), request.nextToken, page_size(request.limit, 50), std::identity{}, kBadToken));
  DescribeLogGroupsResponse response{.nextToken = page.next_token};
  for (const auto& name : page.items)
    if (auto group = store(call).group(call.scope.key(), name)) response.logGroups.push_back(describe(call, *group));
  return response;
}

Result<DescribeLogStreamsResponse> describe_log_streams(Call& call, const DescribeLogStreamsRequest& request) {
  TRY(auto group, group_of(call, request.logGroupName, request.logGroupIdentifier));
  bool by_time = request.orderBy == "LastEventTime";
  if (by_time && request.logStreamNamePrefix)
    return error("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.");
  TRY(auto names, store(call).streams(call.scope.key(), group));
  std::erase_if(names, [&](const std::string& name) { return !name.starts_with(request.logStreamNamePrefix.value_or("")); });
  auto ranked = rank(call, group, std::move(names), by_time);
  auto limit = page_size(request.limit, 50);
  DescribeLogStreamsResponse response;
  std::vector<Ranked> chosen;
  if (request.descending.value_or(false)) {
    std::string before;
    if (request.nextToken) {
      TRY(before, read_page_token(call, *request.nextToken, kBadToken));
    }
    std::ranges::reverse(ranked);
    if (!before.empty()) std::erase_if(ranked, [&](const Ranked& stream) { return stream.rank >= before; });
    bool more = ranked.size() > limit;
    ranked.resize(std::min(ranked.size(), limit));
    if (more) response.nextToken = make_page_token(call, ranked.back().rank);
    chosen = std::move(ranked);
  } else {
    TRY(auto page, paginate(call, std::move(ranked), request.nextToken, limit, [](const Ranked& stream) { return stream.rank; }, kBadToken));
    response.nextToken = page.next_token;
    chosen = std::move(page.items);
  }
  for (const auto& stream : chosen)
    if (auto info = store(call).stream(call.scope.key(), group, stream.name)) response.logStreams.push_back(describe(call, group, *info));
  return response;
}

Result<PutRetentionPolicyResponse> put_retention_policy(Call& call, const PutRetentionPolicyRequest& request) {
  static constexpr int kDays[] = {1,   3,   5,   7,   14,  30,   60,   90,   120,  150,  180,
                                  365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653};
  if (std::ranges::find(kDays, request.retentionInDays) == std::end(kDays))
    return error("InvalidParameterException", "1 validation error detected: Value '{}' at 'retentionInDays' failed to satisfy constraint: "
                 "Member must satisfy enum value set: [{}]", request.retentionInDays, fmt::join(kDays, ", "));
  TRY_VOID(store(call).set_retention(call.scope.key(), request.logGroupName, request.retentionInDays));
  return PutRetentionPolicyResponse{};
}

Result<DeleteRetentionPolicyResponse> delete_retention_policy(Call& call, const DeleteRetentionPolicyRequest& request) {
  TRY_VOID(store(call).set_retention(call.scope.key(), request.logGroupName, std::nullopt));
  return DeleteRetentionPolicyResponse{};
}

Result<TagResourceResponse> tag_resource(Call& call, const TagResourceRequest& request) {
  TRY(auto name, group_of_arn(call, request.resourceArn));
  TRY(auto group, store(call).group(call.scope.key(), name));
  for (const auto& [key, value] : request.tags) group.tags[key] = value;
  if (group.tags.size() > kMaxTags) return error("TooManyTagsException", "A log group can have at most {} tags.", kMaxTags);
  TRY_VOID(store(call).set_tags(call.scope.key(), name, group.tags));
  return TagResourceResponse{};
}

Result<UntagResourceResponse> untag_resource(Call& call, const UntagResourceRequest& request) {
  TRY(auto name, group_of_arn(call, request.resourceArn));
  TRY(auto group, store(call).group(call.scope.key(), name));
  for (const auto& key : request.tagKeys) group.tags.erase(key);
  TRY_VOID(store(call).set_tags(call.scope.key(), name, group.tags));
  return UntagResourceResponse{};
}

Result<ListTagsForResourceResponse> list_tags_for_resource(Call& call, const ListTagsForResourceRequest& request) {
  TRY(auto name, group_of_arn(call, request.resourceArn));
  TRY(auto group, store(call).group(call.scope.key(), name));
  return ListTagsForResourceResponse{.tags = std::move(group.tags)};
}

}  // namespace watari::aws::logs
