#pragma once
// Events of one or more streams in the order of time, page by page, from either end.
#include <compare>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "logs/index.h"

namespace watari::logs {

// The place of an event in the order of a query. Streams are compared by name.
struct Position {
  std::int64_t time_ns = 0;
  std::string stream;
  std::uint64_t sequence = 0;
  std::uint64_t offset = 0;
  friend auto operator<=>(const Position&, const Position&) = default;
};

struct Event {
  Position at;
  std::string text;  // any bytes
};

struct StreamSource {
  std::string name;
  std::string directory;
  std::shared_ptr<StreamIndex> index;
};

struct Query {
  std::int64_t from_ns = std::numeric_limits<std::int64_t>::min();  // inclusive
  std::int64_t to_ns = std::numeric_limits<std::int64_t>::max();    // exclusive
  std::optional<Position> after, before;                            // both exclusive
  bool newest_first = false;  // which end the page is taken from; the events of a page are always in ascending order
  std::size_t limit = 10'000;
  std::size_t max_bytes = 1024 * 1024;  // of text; one event always fits
  std::function<bool(std::string_view text)> matches;  // none: all
};

struct EventPage {
  std::vector<Event> events;
  bool more = false;  // there may be further events beyond this page
};

EventPage run_query(const std::vector<StreamSource>& streams, const Query& query);

}  // namespace watari::logs
