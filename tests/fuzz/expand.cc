// Words and patterns of Dockerfiles. The first byte chooses the escape character.
#include "builder/expand.h"
#include "builder/file_mode.h"
#include "input.h"

using namespace watari;
using namespace watari::builder;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  char escape = data[0] % 2 == 0 ? '\\' : '`';
  auto text = text_of(data + 1, size - 1).substr(0, 4096);
  auto lookup = [](const std::string& name) -> std::optional<std::string> {
    if (name.size() % 3 == 0) return std::nullopt;
    return name.size() % 2 == 0 ? "" : "a/b*c[d]" + name;
  };
  (void)expand_word(text, lookup, escape);
  (void)expand_text(text, lookup, escape);
  for (const auto& word : split_words(text, escape)) must(!word.empty());
  auto half = text.size() / 2;
  (void)matches_pattern(text.substr(0, half), text.substr(half), true);
  (void)matches_pattern(text.substr(0, half), text.substr(half), false);
  if (auto mode = FileMode::parse(text)) must(mode->of(0100644) <= 07777);
  return 0;
}
