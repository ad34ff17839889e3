#pragma once
// The Range header of a request for a blob. Pure.
// Source: https://www.rfc-editor.org/rfc/rfc9110#section-14.2
#include <cstdint>
#include <optional>
#include <string_view>

namespace watari::registry {

struct Range {
  std::int64_t first = 0, last = -1;  // both inclusive
  std::int64_t length() const { return last - first + 1; }
};

enum class RangeKind { Whole, Part, Unsatisfiable };
struct Selection {
  RangeKind kind = RangeKind::Whole;
  Range range;  // of a Part: within the blob, never empty; of a Whole: all of it
};

// "bytes=5-", "bytes=0-9", "bytes=-10"; units and lists have any case and may have spaces. Whole when the header is malformed, has another unit, or asks
// for several parts that do not make one: a server may ignore it then. Parts that lie one after the other or overlap are one part.
Selection select_range(std::string_view header, std::int64_t size);

}  // namespace watari::registry
