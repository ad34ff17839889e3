// PutLogEvents, GetLogEvents, FilterLogEvents.
// Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html and its siblings
#include <algorithm>
#include <functional>

#include "aws/gen/logs/filter_log_events.h"
#include "aws/gen/logs/get_log_events.h"
#include "aws/gen/logs/put_log_events.h"
#include "aws/logs/filter.h"
#include "aws/logs/names.h"
#include "aws/page.h"
#include "base/strings.h"

namespace watari::aws::logs {
namespace {

using ::watari::logs::NewEvent;
using ::watari::logs::Position;

constexpr std::int64_t kDay = 24 * 3600 * 1000;
constexpr std::size_t kMaxBatch = 1'048'576, kOverhead = 26;
constexpr std::size_t kMaxEvents = 10'000;

auto invalid(std::string message) { return error("InvalidParameterException", "{}", message); }

Result<void> check_batch(const PutLogEventsRequest& request) {
  std::size_t size = 0;
  for (std::size_t i = 0; i < request.logEvents.size(); ++i) {
    const auto& event = request.logEvents[i];
    if (event.message.size() > ::watari::logs::kMaxLine)
      return invalid(fmt::format("Log event too large: {} bytes exceeds limit of {}", event.message.size(), ::watari::logs::kMaxLine));
    size += event.message.size() + kOverhead;
    if (i && event.timestamp < request.logEvents[i - 1].timestamp)
      return invalid("Log events in a single PutLogEvents request must be in chronological order.");
  }
  if (size > kMaxBatch) return invalid(fmt::format("Upload too large: {} bytes exceeds limit of {}", size, kMaxBatch));
  if (request.logEvents.back().timestamp - request.logEvents.front().timestamp > kDay)
    return invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.");
  return {};
}

// Which events of a batch (in chronological order) are taken; the rest is reported.
struct Taken {
  std::size_t begin = 0, end = 0;
  std::optional<RejectedLogEventsInfo> rejected;
};

Taken choose(const std::vector<InputLogEvent>& events, std::int64_t now, std::optional<int> retention_days) {
  auto first_at_or_after = [&](std::int64_t time) {
    return static_cast<std::size_t>(std::ranges::lower_bound(events, time, {}, &InputLogEvent::timestamp) - events.begin());
  };
  Taken out;
  RejectedLogEventsInfo rejected;
  auto too_old = first_at_or_after(now - 14 * kDay);
  auto expired = retention_days ? first_at_or_after(now - *retention_days * kDay) : 0;
  out.begin = std::max(too_old, expired);
  out.end = first_at_or_after(now + 2 * kDay / 24 + 1);
  if (too_old) rejected.tooOldLogEventEndIndex = static_cast<int>(too_old);
  if (expired) rejected.expiredLogEventEndIndex = static_cast<int>(expired);
  if (out.end < events.size()) rejected.tooNewLogEventStartIndex = static_cast<int>(out.end);
  if (out.begin || out.end < events.size()) out.rejected = rejected;
  return out;
}

// GetLogEvents' tokens name a place between events: "f/TIME-SEGMENT-OFFSET/s" goes on behind it, "b/…" before it.
std::string make_token(char direction, const Position& at) {
  return fmt::format("{}/{}-{}-{}/s", direction, at.time_ns, at.sequence, at.offset);
}

struct StreamToken {
  bool forward;
  Position at;
};

Result<StreamToken> read_token(const std::string& text, const std::string& stream) {
  auto parts = split(text, '/');
  auto numbers = parts.size() == 3 ? split(parts[1], '-') : std::vector<std::string>{};
  if (numbers.size() == 3 && (parts[0] == "f" || parts[0] == "b")) {
    auto time = parse_number<std::int64_t>(numbers[0]);
    auto sequence = parse_number<std::uint64_t>(numbers[1]), offset = parse_number<std::uint64_t>(numbers[2]);
    if (time && sequence && offset) return StreamToken{parts[0] == "f", Position{*time, stream, *sequence, *offset}};
  }
  return invalid("The specified nextToken is invalid.");
}

// Offsets are whole numbers, so one more or less is the place just behind or before an event.
Position behind(Position at) {
  at.offset += 1;
  return at;
}
Position before(Position at) {
  at.offset -= at.offset ? 1 : 0;
  return at;
}

std::string event_id(const Position& at) {
  return fmt::format("{:020}{:012}{:012}{:012}", at.time_ns, at.sequence, at.offset, std::hash<std::string>{}(at.stream) % 1'000'000'000'000);
}

std::string position_text(const Position& at) { return fmt::format("{} {} {} {}", at.time_ns, at.sequence, at.offset, at.stream); }

Position parse_position(const std::string& text) {
  auto parts = split(text, ' ');
  Position at{parse_number<std::int64_t>(parts[0]).value_or(0), "", parse_number<std::uint64_t>(parts[1]).value_or(0),
              parse_number<std::uint64_t>(parts[2]).value_or(0)};
  for (std::size_t i = 3; i < parts.size(); ++i) at.stream += (i > 3 ? " " : "") + parts[i];  // names may have spaces
  return at;
}

Result<void> check_range(const std::optional<std::int64_t>& start, const std::optional<std::int64_t>& end) {
  if (start && end && *start > *end) return invalid("startTime must not be after endTime.");
  return {};
}

}  // namespace

Result<PutLogEventsResponse> put_log_events(Call& call, const PutLogEventsRequest& request) {
  TRY(auto group, store(call).group(call.scope.key(), request.logGroupName));
  TRY_VOID(check_batch(request));
  auto taken = choose(request.logEvents, call.now.time_since_epoch().count(), group.retention_days);
  std::vector<NewEvent> events;
  for (auto i = taken.begin; i < taken.end; ++i)
    events.push_back({Time(Millis(request.logEvents[i].timestamp)), request.logEvents[i].message});
  TRY_VOID(store(call).append(call.scope.key(), request.logGroupName, request.logStreamName, events));
  PutLogEventsResponse response{.rejectedLogEventsInfo = taken.rejected};
  response.nextSequenceToken = fmt::format("{:056}", call.now.time_since_epoch().count());  // only old clients look at it
  return response;
}

Result<GetLogEventsResponse> get_log_events(Call& call, const GetLogEventsRequest& request) {
  TRY(auto group, group_of(call, request.logGroupName, request.logGroupIdentifier));
  TRY_VOID(check_range(request.startTime, request.endTime));
  ::watari::logs::Query query{.newest_first = !request.startFromHead.value_or(false),
                            .limit = static_cast<std::size_t>(request.limit.value_or(kMaxEvents))};
  if (request.startTime) query.from_ns = to_ns(*request.startTime);
  if (request.endTime) query.to_ns = to_ns(*request.endTime);
  Position from{0, request.logStreamName, 0, 0};  // where an empty page leaves the reader
  if (request.nextToken) {
    TRY(auto token, read_token(*request.nextToken, request.logStreamName));
    query.newest_first = !token.forward;
    (token.forward ? query.after : query.before) = token.at;
    from = token.at;
  }
  TRY(auto page, store(call).read(call.scope.key(), group, {request.logStreamName}, query, call.now));

  GetLogEventsResponse response;
  for (const auto& event : page.events) {
    auto time = to_ms(event.at.time_ns);
    response.events.push_back({.timestamp = time, .message = to_utf8(event.text), .ingestionTime = time});
  }
  if (page.events.empty()) {
    bool forward = query.after.has_value(), backward = query.before.has_value();
    response.nextForwardToken = make_token('f', backward ? before(from) : from);
    response.nextBackwardToken = make_token('b', forward ? behind(from) : from);
  } else {
    response.nextForwardToken = make_token('f', page.events.back().at);
    response.nextBackwardToken = make_token('b', page.events.front().at);
  }
  return response;
}

Result<FilterLogEventsResponse> filter_log_events(Call& call, const FilterLogEventsRequest& request) {
  TRY(auto group, group_of(call, request.logGroupName, request.logGroupIdentifier));
  TRY_VOID(check_range(request.startTime, request.endTime));
  if (!request.logStreamNames.empty() && request.logStreamNamePrefix)
    return invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.");
  auto names = request.logStreamNames;
  if (names.empty()) {
    TRY(names, store(call).streams(call.scope.key(), group));
    std::erase_if(names, [&](const std::string& name) { return !name.starts_with(request.logStreamNamePrefix.value_or("")); });
  }
  TRY(auto matches, parse_filter(request.filterPattern.value_or("")));
  ::watari::logs::Query query{.limit = static_cast<std::size_t>(request.limit.value_or(kMaxEvents)), .matches = std::move(matches)};
  if (request.startTime) query.from_ns = to_ns(*request.startTime);
  if (request.endTime) query.to_ns = to_ns(*request.endTime + 1);  // here the end is included
  if (request.nextToken) {
    TRY(auto position, read_page_token(call, *request.nextToken, "InvalidParameterException"));
    query.after = parse_position(position);
  }
  TRY(auto page, store(call).read(call.scope.key(), group, names, query, call.now));

  FilterLogEventsResponse response;
  for (const auto& event : page.events) {
    auto time = to_ms(event.at.time_ns);
    response.events.push_back({.logStreamName = event.at.stream, .timestamp = time, .message = to_utf8(event.text), .ingestionTime = time,
                               .eventId = event_id(event.at)});
  }
  if (page.more) response.nextToken = make_page_token(call, position_text(page.events.back().at));
  return response;
}

}  // namespace watari::aws::logs
