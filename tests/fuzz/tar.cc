// Archives, plain and compressed: reading ends and never gives more data than it said.
#include <algorithm>
#include <vector>

#include "codec/compress.h"
#include "codec/tar.h"
#include "input.h"

using namespace watari;
using namespace watari::codec;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = text_of(data, size);
  Source source = [&](std::span<char> into) -> Result<std::size_t> {
    auto count = std::min(into.size(), bytes.size());
    std::copy_n(bytes.data(), count, into.data());
    bytes.remove_prefix(count);
    return count;
  };
  TarReader reader(decompress_any(source));
  std::vector<char> piece(8192);
  std::int64_t total = 0;
  for (int entries = 0; entries < 1000; ++entries) {
    auto entry = reader.next();
    if (!entry || !*entry) break;
    must((*entry)->size >= 0);
    std::int64_t got = 0;
    for (;;) {
      auto count = reader.read(piece);
      if (!count || *count == 0) break;
      got += static_cast<std::int64_t>(*count);
      total += static_cast<std::int64_t>(*count);
      must(got <= (*entry)->size);
      if (total > (16 << 20)) return 0;
    }
  }
  return 0;
}
