// watari images pull, push, compress, login: what has to do with other registries.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>

#include "base/digest.h"
#include "base/strings.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;

struct Options : Common {
  std::string from, to, registry, user, compression;
  bool all_platforms = false, from_docker = false;
};

// Asks how far it is until it has ended.
Result<Json> follow(Client& client, const std::string& id, bool quiet) {
  const bool shown = !quiet && ::isatty(STDERR_FILENO);
  while (true) {
    TRY(auto state, client.call("watari", "GetTransfer", Json::object({{"transferId", id}})));
    const auto& status = state["status"].as_string();
    if (shown) fmt::print(stderr, "\r{} of {}   ", size_text(state["bytesDone"].as_int()), size_text(state["bytesTotal"].as_int()));
    if (shown && status != "RUNNING") fmt::print(stderr, "\n");
    if (status == "FAILED") return fail(Code::Unavailable, "{}", state["message"].as_string());
    if (status == "DONE") return state;
    std::this_thread::sleep_for(Millis(150));
  }
}

// Starts a transfer and prints what came of it.
Result<void> run(const Options& options, const char* operation, const Json& request) {
  TRY(auto client, options.connect());
  TRY(auto started, client.call("watari", operation, request));
  TRY(auto ended, follow(client, started["transferId"].as_string(), options.json));
  if (started.has("image")) ended.set("image", started["image"]);  // what it is called here
  if (options.json) fmt::print("{}\n", ended.pretty());
  else fmt::print("{}  {}\n", ended["digest"].as_string(), started.has("image") ? started["image"].as_string() : options.to);
  return {};
}

Result<void> pull(const Options& options) {
  auto request = Json::object({{"source", options.from}});
  if (!options.to.empty()) request.set("target", options.to);
  if (options.all_platforms) request.set("allPlatforms", Json(true));
  return run(options, "PullImage", request);
}

// PushImage and CompressImage ask for the same.
Result<void> send(const Options& options, const char* operation) {
  auto request = Json::object({{"image", options.from}, {"target", options.to}});
  if (!options.compression.empty()) request.set("compression", Json(options.compression));
  return run(options, operation, request);
}

std::string docker_config() {
  const char *directory = std::getenv("DOCKER_CONFIG"), *home = std::getenv("HOME");
  return (directory ? std::string(directory) : std::string(home ? home : "/root") + "/.docker") + "/config.json";
}

// "user:password" of a registry. Source: https://docs.docker.com/reference/cli/docker/login/#configuration-file
Result<std::string> login_of_docker(const std::string& path, const std::string& registry) {
  std::ifstream file(path);
  if (!file) return fail(Code::NotFound, "cannot read {}; `docker login {}` makes it", path, registry);
  auto config = codec::parse_json(std::string{std::istreambuf_iterator<char>(file), {}});
  if (!config) return fail(std::move(config).error().within(path));
  // Docker's own registry has a name of its own there.
  const bool hub = registry == "docker.io" || registry == "index.docker.io";
  const auto& entry = (*config)["auths"][hub ? "https://index.docker.io/v1/" : registry];
  std::string login;
  if (base64_decode(trim(entry["auth"].as_string()), login) && login.find(':') != login.npos) return login;
  if (entry.has("username") && entry.has("password")) return entry["username"].as_string() + ":" + entry["password"].as_string();
  const auto helper = (*config)["credHelpers"].has(registry) ? (*config)["credHelpers"][registry].as_string() : (*config)["credsStore"].as_string();
  if (!helper.empty())
    return fail(Code::FailedPrecondition, "{} keeps the login for {} in the program docker-credential-{}; give it here with --username", path, registry, helper);
  return fail(Code::NotFound, "{} has no login for {}; `docker login {}` stores one", path, registry, registry);
}

// Kept as a secret parameter: sealed on the disk, readable by who may read parameters, and nowhere else.
Result<void> store_login(const Options& options, const std::string& login) {
  TRY(auto client, options.connect());
  auto name = "/watari/registries/" + options.registry;
  std::ranges::replace(name, ':', '_');
  TRY_VOID(client.call("ssm", "PutParameter", Json::object({{"Name", name}, {"Value", login}, {"Type", "SecureString"}, {"Overwrite", true}})));
  fmt::print("stored as the parameter {} in {}\n", name, client.place().region);
  return {};
}

Result<void> login(const Options& options) {
  if (options.from_docker) {
    TRY(auto login, login_of_docker(docker_config(), options.registry));
    return store_login(options, login);
  }
  if (options.user.empty()) return fail(Code::InvalidArgument, "give --username, or --docker-config for the login that docker has stored");
  std::string password;
  std::getline(std::cin, password);
  if (password.empty()) return fail(Code::InvalidArgument, "no password came on stdin: `echo \"$PASSWORD\" | watari images login {} --username {}`", options.registry, options.user);
  return store_login(options, options.user + ":" + password);
}

void add_compression(CLI::App& verb, const char* name, Options& options, const char* help) {
  verb.add_option(name, options.compression, help)->check(CLI::IsMember({"zstd", "gzip"}));
}

}  // namespace

void add_image_transfers(CLI::App& verb, Run& run) {
  auto options = std::make_shared<Options>();
  auto pull_verb = add_verb(verb, "pull", "Fetch an image from another registry");
  pull_verb->add_option("source", options->from, "REGISTRY/NAME:TAG")->required();
  pull_verb->add_option("--as", options->to, "NAME:TAG here (default: as it was asked for)");
  pull_verb->add_flag("--all-platforms", options->all_platforms, "Of an image for several platforms all of them, not this machine's only");
  add_common(*pull_verb, *options);
  pull_verb->footer("Example:\n  watari images pull registry.example.com/team/web:1 --as web:1");
  pull_verb->callback([options, &run] { run = [options] { return finish(pull(*options)); }; });

  auto push_verb = add_verb(verb, "push", "Send an image to another registry");
  push_verb->add_option("image", options->from, "NAME:TAG")->required();
  push_verb->add_option("target", options->to, "REGISTRY/NAME:TAG")->required();
  add_compression(*push_verb, "--compress", *options, "Send the layers compressed, as an image with a digest of its own");
  add_common(*push_verb, *options);
  push_verb->footer("Example:\n  watari images push web:1 registry.example.com/team/web:1 --compress zstd");
  push_verb->callback([options, &run] { run = [options] { return finish(send(*options, "PushImage")); }; });

  auto compress_verb = add_verb(verb, "compress", "Make an image once more, with compressed layers, under another tag");
  compress_verb->add_option("image", options->from, "NAME:TAG")->required();
  compress_verb->add_option("--as", options->to, "NAME:TAG of the compressed one")->required();
  add_compression(*compress_verb, "--with", *options, "How (default: zstd)");
  add_common(*compress_verb, *options);
  compress_verb->footer("Example:\n  watari images compress web:1 --as web:1-small");
  compress_verb->callback([options, &run] { run = [options] { return finish(send(*options, "CompressImage")); }; });

  auto login_verb = add_verb(verb, "login", "Store the login for another registry; the password comes from stdin");
  login_verb->add_option("registry", options->registry, "REGISTRY, as images name it")->required();
  auto user = login_verb->add_option("--username,-u", options->user, "User name");
  login_verb->add_flag("--docker-config", options->from_docker, "Take the login that docker has stored ($DOCKER_CONFIG/config.json, or ~/.docker/config.json)")->excludes(user);
  add_common(*login_verb, *options);
  login_verb->footer("Examples:\n  printf %s \"$PASSWORD\" | watari images login registry.example.com --username deployer\n  watari images login registry.example.com --docker-config");
  login_verb->callback([options, &run] { run = [options] { return finish(login(*options)); }; });
}

}  // namespace watari::cli
