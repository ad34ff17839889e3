#include "registry/route.h"

#include "base/strings.h"

namespace watari::registry {

std::optional<Route> parse_route(std::string_view path) {
  auto decoded = percent_decode(path);
  if (!decoded) return std::nullopt;
  if (*decoded == "/v2" || *decoded == "/v2/") return Route{};
  if (*decoded == "/v2/_catalog") return Route{.endpoint = Endpoint::Catalog};
  if (!decoded->starts_with("/v2/")) return std::nullopt;
  auto parts = split(std::string_view(*decoded).substr(4), '/');
  const auto make = [&](Endpoint endpoint, std::size_t name_parts, std::string last) -> std::optional<Route> {
    parts.resize(name_parts);
    return Route{endpoint, join(parts, "/"), std::move(last)};
  };
  // From the end, since names contain slashes: a repository may even be called "a/blobs/b".
  const auto n = parts.size();
  if (n >= 4 && parts[n - 3] == "blobs" && parts[n - 2] == "uploads")
    return make(parts[n - 1].empty() ? Endpoint::StartUpload : Endpoint::Upload, n - 3, parts[n - 1]);
  if (n >= 3 && parts[n - 2] == "blobs" && parts[n - 1] == "uploads") return make(Endpoint::StartUpload, n - 2, "");
  if (n >= 3 && parts[n - 2] == "blobs") return make(Endpoint::Blob, n - 2, parts[n - 1]);
  if (n >= 3 && parts[n - 2] == "manifests") return make(Endpoint::Manifest, n - 2, parts[n - 1]);
  if (n >= 3 && parts[n - 2] == "referrers") return make(Endpoint::Referrers, n - 2, parts[n - 1]);
  if (n >= 3 && parts[n - 2] == "tags" && parts[n - 1] == "list") return make(Endpoint::Tags, n - 2, "");
  return std::nullopt;
}

namespace {

std::vector<std::pair<std::string, std::string>> pairs_of(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& item : split(query, '&')) {
    const auto equals = item.find('=');
    auto name = percent_decode(item.substr(0, equals));
    std::string raw = equals == item.npos ? "" : item.substr(equals + 1);
    for (auto& c : raw)
      if (c == '+') c = ' ';
    auto value = percent_decode(raw);
    if (name && value && !name->empty()) out.emplace_back(std::move(*name), std::move(*value));
  }
  return out;
}

}  // namespace

std::map<std::string, std::string> parse_query(std::string_view query) {
  std::map<std::string, std::string> out;
  for (auto& pair : pairs_of(query)) out.insert(std::move(pair));
  return out;
}

std::vector<std::string> query_values(std::string_view query, std::string_view name) {
  std::vector<std::string> out;
  for (auto& [key, value] : pairs_of(query))
    if (key == name) out.push_back(std::move(value));
  return out;
}

}  // namespace watari::registry
