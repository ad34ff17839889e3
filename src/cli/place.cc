#include "cli/place.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "cli/output.h"

namespace watari::cli {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string region() {
  for (auto name : {"AWS_REGION", "AWS_DEFAULT_REGION"})
    if (auto value = environment(name); !value.empty()) return value;
  return "us-east-1";
}

}  // namespace

Result<Place> find_place(const std::optional<std::string>& root) {
  Place place{.region = region()};
  auto url = environment("AWS_ENDPOINT_URL");
  if (!root && environment("WATARI_ROOT").empty() && !url.empty()) {
    place.endpoint = url;
    place.credentials = environment("AWS_ACCESS_KEY_ID").empty() ? environment("AWS_SHARED_CREDENTIALS_FILE") : "";
    return place;
  }
  place.root = std::filesystem::absolute(root.value_or(default_root())).lexically_normal().string();
  place.credentials = place.root + "/credentials";
  std::ifstream in(place.root + "/endpoint");
  std::getline(in, place.endpoint);
  if (place.endpoint.empty())
    return fail(Code::Unavailable, "no server runs on {}: start it with `watari serve --root {}`, or name another with --root",
                place.root, place.root);
  return place;
}

}  // namespace watari::cli
