// Dockerfiles: parsing ends, and what was parsed can be looked at and checked.
#include "builder/dockerfile.h"
#include "builder/lint.h"
#include "builder/run_mount.h"
#include "input.h"

using namespace watari;
using namespace watari::builder;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto file = parse_dockerfile(text_of(data, size));
  if (!file) {
    must(!file.error().message.empty());
    return 0;
  }
  must(!file->stages.empty());
  for (const auto& stage : file->stages)
    for (const auto& each : stage.instructions) {
      must(each.line > 0);
      (void)pairs_of(each);
      (void)run_mounts_of(each, [](const std::string& word) -> Result<std::string> { return word; });
    }
  (void)lint(*file, nullptr, "a\n!b\n");
  return 0;
}
