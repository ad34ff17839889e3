// The index of a build context, as any client may send it: nothing in it leads out of the context, every entry has its parents, and what
// it names can be found again.
#include "builder/context_index.h"

#include "builder/rooted.h"
#include "input.h"

using namespace watari;
using namespace watari::builder;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto index = ContextIndex::parse(std::string(text_of(data, size)));
  if (!index) {
    must(!index.error().message.empty());
    return 0;
  }
  must((*index)->id().size() == 32);
  (*index)->below("", [&](const std::string& path, const ContextIndex::Entry& entry) {
    must(!path.empty() && clean_path(path) == path && !("/" + path + "/").contains("/../"));
    must((*index)->find(path) == &entry);
    if (auto slash = path.rfind('/'); slash != path.npos) {
      const auto* parent = (*index)->find(path.substr(0, slash));
      must(parent && parent->directory);
    }
    if (entry.digest.empty()) return;
    must(entry.digest.size() == 64 && (*index)->path_of(entry.digest));
  });
  return 0;
}
