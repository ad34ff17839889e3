// .dockerignore: rules in front of a zero byte, a path behind it.
#include "codec/ignore.h"
#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = text_of(data, size).substr(0, 1024);
  auto zero = std::min(text.find('\0'), text.size());
  auto rules = watari::codec::IgnoreRules::parse(text.substr(0, zero));
  if (!rules) return 0;
  auto path = text.substr(std::min(zero + 1, text.size()));
  // A directory that can be skipped is ignored.
  if (rules->skips_directory(path)) must(rules->ignores(path));
  return 0;
}
