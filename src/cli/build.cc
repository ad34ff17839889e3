// watari build: an image from a Dockerfile.
#include <CLI/CLI.hpp>

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
  std::vector<std::string> tags, args;
  std::string target;
  bool no_cache = false, explain = false, quiet = false;
};

// -f is looked for in the context, then from here, as people write both.
Result<std::string> dockerfile_of(const Options& options) {
  if (options.file.empty()) return "Dockerfile";
  std::error_code problem;
  if (fs::path(options.file).is_relative() && fs::is_regular_file(fs::path(options.directory) / options.file, problem)) return options.file;
  auto relative = fs::relative(options.file, options.directory, problem).string();
  if (problem || relative.empty() || relative.starts_with(".."))
    return fail(Code::InvalidArgument, "{} is not in the build context {}; move it there", options.file, options.directory);
  return relative;
}

Result<ImageBuild> request_of(const Options& options) {
  ImageBuild build{.context = options.directory, .target = options.target, .tags = options.tags, .no_cache = options.no_cache};
  TRY(build.dockerfile, dockerfile_of(options));
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
  return build;
}

void print_reasons(const Json& report) {
  std::vector<std::vector<std::string>> rows{{"STEP", "STATUS", "WHY", "INSTRUCTION"}};
  for (const auto& step : report["steps"].as_array())
    rows.push_back({std::to_string(step["number"].as_int()), step["status"].as_string(), step["reason"].as_string(), step["instruction"].as_string().substr(0, 60)});
  fmt::print("{}", table(rows));
}

Result<void> build(const Options& options) {
  TRY(auto request, request_of(options));
  TRY(auto client, options.connect());
  auto progress = options.quiet || options.json ? OnProgress([](const Json&) {}) : show_progress();
  TRY(auto report, build_image(client, request, progress));
  if (options.json) {
    report.set("logLines", Json());
    fmt::print("{}\n", report.pretty());
    return {};
  }
  if (options.explain) print_reasons(report);
  fmt::print("{}{}\n", report["imageDigest"].as_string(), options.tags.empty() ? "" : "  " + fmt::format("{}", fmt::join(options.tags, " ")));
  return {};
}

}  // namespace

void add_build(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = app.add_subcommand("build", "Build an image from a Dockerfile");
  verb->add_option("directory", options->directory, "The build context")->capture_default_str();
  verb->add_option("-f,--file", options->file, "The Dockerfile (default: Dockerfile in the context)");
  verb->add_option("-t,--tag", options->tags, "NAME or NAME:TAG of the image; may be repeated")->allow_extra_args(false);
  verb->add_option("--target", options->target, "Build this stage instead of the last one");
  verb->add_option("--build-arg", options->args, "NAME=VALUE of an ARG; may be repeated")->allow_extra_args(false);
  verb->add_flag("--no-cache", options->no_cache, "Run every step again");
  verb->add_flag("--explain", options->explain, "Say why each step came from the cache or not");
  verb->add_flag("-q,--quiet", options->quiet, "Print the image's digest only");
  add_common(*verb, *options);
  verb->footer("Example:\n  watari build -t web:1 --build-arg RUBY=3.1 .");
  verb->callback([options, &run] { run = [options] { return finish(build(*options)); }; });
}

}  // namespace watari::cli
