// watari build: an image from a Dockerfile.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>

#include "base/strings.h"
#include "cli/build_client.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

namespace fs = std::filesystem;
using codec::Json;

struct Options : Common {
  std::string directory = ".", file;
  std::vector<std::string> tags, args, contexts, secrets, agents;
  std::string target, memory;
  double cpus = 0;
  std::int64_t timeout = 0;
  bool no_cache = false, explain = false, docker = false, quiet = false, check = false;
};

Result<std::string> read_text(const fs::path& file) {
  std::error_code problem;
  if (!fs::is_regular_file(file, problem)) return fail(Code::NotFound, "no file {}", file.string());
  std::ifstream in(file, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

// -f is looked for in the context, then from here, as people write both; - is standard input.
Result<void> find_dockerfile(const Options& options, ImageBuild& build) {
  std::error_code problem;
  fs::path file = fs::path(options.directory) / (options.file.empty() ? "Dockerfile" : options.file);
  build.dockerfile = options.file.empty() ? "Dockerfile" : options.file;
  if (options.file == "-") {
    build.dockerfile = "stdin";
    build.dockerfile_text = std::string{std::istreambuf_iterator<char>(std::cin), {}};
    return {};
  }
  if (!options.file.empty() && (fs::path(options.file).is_absolute() || !fs::is_regular_file(file, problem))) file = options.file;
  if (!fs::is_regular_file(file, problem)) return fail(Code::NotFound, "no {} in {}; name another with -f", build.dockerfile, options.directory);
  TRY(build.dockerfile_text, read_text(file));
  build.ignore_file = file.string() + ".dockerignore";
  return {};
}

// "id=x,src=y" as its parts.
std::map<std::string, std::string> parts_of(const std::string& text) {
  std::map<std::string, std::string> parts;
  for (const auto& part : split(text, ',')) {
    auto equals = part.find('=');
    if (equals == std::string::npos) parts[part] = "";
    else parts[part.substr(0, equals)] = part.substr(equals + 1);
  }
  return parts;
}

// --secret id=NAME[,src=FILE | ,env=VARIABLE]; without either a variable of that name, then a file. As docker build has it.
Result<void> add_secret(const std::string& text, ImageBuild& build) {
  auto parts = parts_of(text);
  auto id = parts["id"];
  auto file = parts.contains("src") ? parts["src"] : parts["source"];
  auto variable = parts["env"];
  if (id.empty()) return fail(Code::InvalidArgument, "--secret {}: no id; expected id=NAME,src=FILE or id=NAME,env=VARIABLE", text);
  if (parts["type"] == "env" && variable.empty()) variable = file.empty() ? id : file;
  if (variable.empty() && file.empty() && std::getenv(id.c_str())) variable = id;
  if (!variable.empty()) {
    const char* value = std::getenv(variable.c_str());
    if (!value) return fail(Code::NotFound, "--secret {}: no variable {} in the environment", text, variable);
    build.secrets[id] = value;
    return {};
  }
  TRY(build.secrets[id], read_text(file.empty() ? id : file));
  return {};
}

// --ssh default, --ssh id=SOCKET
Result<void> add_agent(const std::string& text, ImageBuild& build) {
  auto equals = text.find('=');
  auto id = text.substr(0, equals);
  const char* running = std::getenv("SSH_AUTH_SOCK");
  std::string socket = equals != std::string::npos ? text.substr(equals + 1) : running ? running : "";
  std::error_code problem;
  if (socket.empty()) return fail(Code::NotFound, "--ssh {}: no ssh agent (SSH_AUTH_SOCK is not set); start one, or give {}=SOCKET", text, id);
  if (!fs::is_socket(socket, problem))
    return fail(Code::InvalidArgument, "--ssh {}: {} is no socket of an ssh agent; add keys to an agent with ssh-add", text, socket);
  build.agents[id] = fs::absolute(socket);
  return {};
}

// --build-context name=DIRECTORY | name=docker-image://REFERENCE
Result<void> add_context(const std::string& text, ImageBuild& build) {
  constexpr std::string_view kImage = "docker-image://";
  auto equals = text.find('=');
  if (equals == std::string::npos) return fail(Code::InvalidArgument, "--build-context {}: expected NAME=DIRECTORY or NAME=docker-image://IMAGE", text);
  auto value = text.substr(equals + 1);
  bool image = value.starts_with(kImage);
  if (!image && value.contains("://")) return fail(Code::InvalidArgument, "--build-context {}: expected a directory or docker-image://IMAGE", text);
  build.contexts[text.substr(0, equals)] = image ? "image:" + value.substr(kImage.size()) : value;
  return {};
}

Result<ImageBuild> request_of(const Options& options) {
  ImageBuild build{.context = options.directory, .target = options.target, .tags = options.tags, .timeout_seconds = options.timeout,
                   .cpus = options.cpus, .no_cache = options.no_cache, .check = options.check, .docker = options.docker};
  TRY_VOID(find_dockerfile(options, build));
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH")) build.args["SOURCE_DATE_EPOCH"] = epoch;
  for (const auto& arg : options.args) {
    auto equals = arg.find('=');
    auto name = arg.substr(0, equals);
    if (equals != std::string::npos) {
      build.args[name] = arg.substr(equals + 1);
    } else if (const char* value = std::getenv(name.c_str())) {
      build.args[name] = value;  // as in Docker: the variable's own value
    } else {
      return fail(Code::InvalidArgument, "--build-arg {}: no value, and no such variable in the environment", name);
    }
  }
  for (const auto& each : options.secrets) TRY_VOID(add_secret(each, build));
  for (const auto& each : options.agents) TRY_VOID(add_agent(each, build));
  for (const auto& each : options.contexts) TRY_VOID(add_context(each, build));
  if (!options.memory.empty()) {
    TRY(const auto bytes, parse_size("--memory", options.memory));
    build.memory_mib = std::max<std::int64_t>(1, bytes >> 20);
  }
  return build;
}

void print_reasons(const Json& report) {
  std::vector<std::vector<std::string>> rows{{"STEP", "STATUS", "WHY", "INSTRUCTION"}};
  for (const auto& step : report["steps"].as_array())
    rows.push_back({std::to_string(step["number"].as_int()), step["status"].as_string(), step["reason"].as_string(), step["instruction"].as_string().substr(0, 60)});
  fmt::print("{}", table(rows));
}

void print_warnings(const Json& report, const std::string& file) {
  for (const auto& each : report["warnings"].as_array())
    fmt::print(stderr, "{}:{}: {}: {}\n  {} | {}\n", file, each["line"].as_int(), each["rule"].as_string(), each["message"].as_string(),
               each["line"].as_int(), each["quote"].as_string());
}

// --check: nothing is built. Fails when there is something to say, as `docker build --check` does.
Result<void> check(Client& client, const ImageBuild& request, const Options& options) {
  Json report;
  auto ended = build_image(client, request, [&](const Json& each) { report = each; });
  if (!ended && !options.json) print_warnings(report, request.dockerfile);
  if (!ended) return fail(ended.error());
  if (options.json) fmt::print("{}\n", report["warnings"].is_array() ? report["warnings"].pretty() : "[]");
  else print_warnings(report, request.dockerfile);
  auto count = report["warnings"].as_array().size();
  if (count > 0) return fail(Code::FailedPrecondition, "{} {} found", count, count == 1 ? "warning" : "warnings");
  if (!options.json) fmt::print("no warnings found\n");
  return {};
}

Result<void> build(const Options& options) {
  TRY(auto request, request_of(options));
  TRY(auto client, options.connect());
  if (options.check) return check(client, request, options);
  auto progress = options.quiet || options.json ? OnProgress([](const Json&) {}) : show_progress();
  Json warnings;
  auto ended = build_image(client, request, [&](const Json& each) {
    progress(each);
    if (warnings.is_null()) warnings = each["warnings"];
  });
  if (!ended) {
    if (!options.quiet && !options.json) print_warnings(Json::object({{"warnings", warnings}}), request.dockerfile);
    return fail(ended.error());
  }
  auto report = std::move(*ended);
  if (options.json) {
    report.set("logLines", Json());
    fmt::print("{}\n", report.pretty());
    return {};
  }
  if (!options.quiet) print_warnings(report, request.dockerfile);
  if (options.explain) print_reasons(report);
  fmt::print("{}{}\n", report["imageDigest"].as_string(), options.tags.empty() ? "" : "  " + fmt::format("{}", fmt::join(options.tags, " ")));
  return {};
}

}  // namespace

void add_build(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "build", "Build an image from a Dockerfile");
  verb->add_option("directory", options->directory, "The build context")->capture_default_str();
  verb->add_option("-f,--file", options->file, "The Dockerfile (default: Dockerfile in the context); - reads it from standard input");
  verb->add_option("-t,--tag", options->tags, "NAME or NAME:TAG of the image; may be repeated")->allow_extra_args(false);
  verb->add_option("--target", options->target, "Build this stage instead of the last one");
  verb->add_option("--build-arg", options->args, "NAME=VALUE of an ARG; may be repeated")->allow_extra_args(false);
  verb->add_option("--secret", options->secrets, "id=NAME,src=FILE or id=NAME,env=VARIABLE for RUN --mount=type=secret; may be repeated")->allow_extra_args(false);
  verb->add_option("--ssh", options->agents, "default, or NAME=SOCKET: an ssh agent for RUN --mount=type=ssh; may be repeated")->allow_extra_args(false);
  verb->add_option("--build-context", options->contexts, "NAME=DIRECTORY or NAME=docker-image://IMAGE; may be repeated")->allow_extra_args(false);
  verb->add_option("-m,--memory", options->memory, "What all RUN steps together may use, for example 2g");
  verb->add_option("--cpus", options->cpus, "Cores that all RUN steps together may use, for example 1.5");
  verb->add_option("--timeout", options->timeout, "Seconds after which a RUN step is ended (default: 3600)");
  verb->add_flag("--check", options->check, "Look at the Dockerfile only: warnings and errors, nothing is built");
  verb->add_flag("--no-cache", options->no_cache, "Run every step again");
  verb->add_flag("--docker", options->docker, "Let a docker command in RUN steps speak to this server: build, tag, push, pull, login, images, inspect");
  verb->add_flag("--explain", options->explain, "Say why each step came from the cache or not");
  verb->add_flag("-q,--quiet", options->quiet, "Print the image's digest only");
  add_common(*verb, *options);
  verb->footer("Examples:\n  watari build -t web:1 --build-arg RUBY=3.1 .\n  watari build --check\n  watari build -t web:1 --explain --secret id=npm,src=$HOME/.npmrc .");
  verb->callback([options, &run] { run = [options] { return finish(build(*options)); }; });
}

}  // namespace watari::cli
