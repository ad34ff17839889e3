// The registry's request lines: paths and query strings.
#include "input.h"
#include "registry/route.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = text_of(data, size);
  auto question = std::min(text.find('?'), text.size());
  auto route = watari::registry::parse_route(text.substr(0, question));
  if (route) must(route->repository.size() + route->last.size() <= text.size());
  (void)watari::registry::parse_query(text.substr(std::min(question + 1, text.size())));
  return 0;
}
