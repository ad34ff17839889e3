// watari env: the environment variables that point AWS tools at the server.
#include <CLI/CLI.hpp>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/place.h"
#include "cli/verbs.h"
#include "codec/json.h"

namespace watari::cli {
namespace {

struct Options {
  std::optional<std::string> root;
  bool json = false;
};

// For a POSIX shell's eval.
std::string quoted(const std::string& text) {
  if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:") == std::string::npos) return text;
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

Result<void> env(const Options& options) {
  TRY(auto place, find_place(options.root));
  std::vector<std::pair<std::string, std::string>> variables = {
      {"AWS_ENDPOINT_URL", place.endpoint},
      {"AWS_SHARED_CREDENTIALS_FILE", place.credentials},
      {"AWS_REGION", place.region},
      {"AWS_DEFAULT_REGION", place.region}};  // what boto3 and aws-cli 1 read
  // For HTTPS: this server's authority beside the host's, so that the tools reach everything else as before.
  if (!place.root.empty()) {
    variables.emplace_back("WATARI_HTTPS_URL", "https" + place.endpoint.substr(place.endpoint.find("://")));
    for (auto name : {"AWS_CA_BUNDLE", "SSL_CERT_FILE"}) variables.emplace_back(name, place.root + "/ca-bundle.pem");
  }
  auto json = codec::Json::object();
  for (const auto& [name, value] : variables) {
    if (value.empty()) continue;
    json.set(name, value);
    if (!options.json) fmt::print("export {}={}\n", name, quoted(value));
  }
  if (options.json) fmt::print("{}\n", json.pretty());
  return {};
}

}  // namespace

void add_env(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "env", "Print the environment that points AWS tools at the server");
  verb->add_option("--root", options->root, "Root directory of the server (default: WATARI_ROOT or /var/lib/watari)");
  verb->add_flag("--json", options->json, "Print JSON");
  verb->footer("Example:\n  eval \"$(watari env)\" && aws ecs list-clusters");
  verb->callback([options, &run] { run = [options] { return finish(env(*options)); }; });
}

}  // namespace watari::cli
