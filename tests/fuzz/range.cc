// The Range header of requests for blobs, and Accept-Encoding beside it.
#include "input.h"
#include "registry/encoding.h"
#include "registry/range.h"

using namespace watari::registry;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = text_of(data, size);
  for (std::int64_t length : {std::int64_t{0}, std::int64_t{1}, std::int64_t{10}, std::int64_t{300'000}, INT64_MAX}) {
    const auto selected = select_range(text, length);
    const auto& range = selected.range;
    if (selected.kind == RangeKind::Part) must(range.first >= 0 && range.first <= range.last && range.last < length);
    if (selected.kind == RangeKind::Whole) must(range.first == 0 && range.last == length - 1);
  }
  for (bool near : {false, true}) (void)choose_encoding(text, near);
  return 0;
}
