// watari images: what is in the image store, as the registry tells it.
#include <CLI/CLI.hpp>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;

constexpr const char* kManifests = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
                                   "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json";

// A list in pages: the Link header names the next one. Source: distribution-spec, "Listing Tags".
Result<Json> list_all(Client& client, std::string path, const std::string& member) {
  auto all = Json::array();
  while (!path.empty()) {
    TRY(auto response, client.get(path, "application/json"));
    TRY(auto page, codec::parse_json(response.body));
    for (const auto& item : page[member].as_array()) all.push(item);
    auto link = std::string(response.headers.get("link"));
    auto open = link.find('<'), close = link.find('>');
    path = open == std::string::npos || close == std::string::npos ? "" : link.substr(open + 1, close - open - 1);
    if (auto scheme = path.find("://"); scheme != std::string::npos) path = path.substr(path.find('/', scheme + 3));
  }
  return all;
}

Result<Json> describe(Client& client, const std::string& repository, const std::string& tag) {
  TRY(auto response, client.get("/v2/" + repository + "/manifests/" + tag, kManifests));
  TRY(auto manifest, codec::parse_json(response.body));
  std::int64_t size = manifest["config"]["size"].as_int();
  for (const auto& layer : manifest["layers"].as_array()) size += layer["size"].as_int();
  return Json::object({{"repository", repository}, {"tag", tag}, {"digest", response.headers.get("docker-content-digest")},
                       {"size", size}, {"layers", static_cast<std::int64_t>(manifest["layers"].as_array().size())}});
}

Result<void> images(const Common& options) {
  TRY(auto client, options.connect());
  TRY(auto repositories, list_all(client, "/v2/_catalog", "repositories"));
  auto found = Json::array();
  for (const auto& repository : repositories.as_array()) {
    TRY(auto tags, list_all(client, "/v2/" + repository.as_string() + "/tags/list", "tags"));
    for (const auto& tag : tags.as_array()) {
      auto image = describe(client, repository.as_string(), tag.as_string());
      if (!image && image.error().code == Code::NotFound) continue;  // removed meanwhile
      if (!image) return fail(image.error());
      found.push(*image);
    }
  }
  if (options.json) {
    fmt::print("{}\n", found.pretty());
    return {};
  }
  std::vector<std::vector<std::string>> rows = {{"IMAGE", "DIGEST", "LAYERS", "SIZE"}};
  for (const auto& image : found.as_array())
    rows.push_back({image["repository"].as_string() + ":" + image["tag"].as_string(), image["digest"].as_string().substr(0, 19),
                    image["layers"].dump(), fmt::format("{:.1f} MiB", image["size"].as_double() / (1 << 20))});
  if (rows.size() == 1) fmt::print("no images; `watari build`, `watari base build` and `docker push {}/NAME` bring some\n",
                                   client.place().endpoint.substr(client.place().endpoint.find("://") + 3));
  else fmt::print("{}", table(rows));
  return {};
}

}  // namespace

void add_images(CLI::App& app, Run& run) {
  auto options = std::make_shared<Common>();
  auto verb = app.add_subcommand("images", "The images in the store: repositories, tags, digests, sizes");
  add_common(*verb, *options);
  verb->footer("Examples:\n  watari images\n  watari images --json");
  verb->callback([options, &run] { run = [options] { return finish(images(*options)); }; });
}

}  // namespace watari::cli
