// Lists of packages, which come from whatever is in an image: reading ends, and every package has a name and a version.
#include "builder/package_lists.h"
#include "input.h"

using namespace watari;
using namespace watari::builder;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto text = text_of(data + 1, size - 1);
  const auto kind = static_cast<ListKind>(data[0] % 9);
  (void)list_kind(text);
  const auto check = [](const std::vector<Package>& packages) {
    for (const auto& each : packages) must(each.purl().starts_with("pkg:" + each.type + "/") && !each.version.empty());
  };
  check(packages_in(kind, "a/specifications/x.gemspec", kind == ListKind::Gemspec ? std::string_view() : text));
  if (kind == ListKind::Gemspec) check(packages_in(kind, std::string(text) + ".gemspec", ""));
  check(packages_of_go_program(text));
  return 0;
}
