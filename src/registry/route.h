#pragma once
// Which of the API's endpoints a path is. Pure.
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace watari::registry {

enum class Endpoint { Base, Catalog, Tags, Manifest, Blob, StartUpload, Upload, Referrers };

struct Route {
  Endpoint endpoint = Endpoint::Base;
  std::string repository;  // not checked against the grammar yet
  std::string last;        // tag, digest or upload id
};

// `path` as it came, percent-encoded. Nothing for paths outside of the API.
std::optional<Route> parse_route(std::string_view path);

// All values of one parameter, in their order.
std::vector<std::string> query_values(std::string_view query, std::string_view name);

// The parameters of a query string; the first of a name counts.
std::map<std::string, std::string> parse_query(std::string_view query);

}  // namespace watari::registry
