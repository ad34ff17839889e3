#pragma once
// Building an image through the API: what `watari build` and `watari up` share. Blocking; one thread.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/up/context.h"

namespace watari::cli {

struct ImageBuild {
  std::filesystem::path context;          // a directory
  std::string dockerfile = "Dockerfile";  // its name, for messages
  std::string dockerfile_text;
  std::filesystem::path ignore_file;      // "<Dockerfile>.dockerignore"; used instead of .dockerignore when it exists
  std::string target;
  std::map<std::string, std::string> args;
  std::vector<std::string> tags;  // "web", "web:1"
  std::map<std::string, std::string> contexts;  // named ones: a directory, or "image:<reference>"
  std::map<std::string, std::string> secrets, agents;  // values and sockets by id
  std::int64_t memory_mib = 0, timeout_seconds = 0;    // 0: the server's default
  double cpus = 0;
  bool no_cache = false, check = false, docker = false;
};

// Gets every answer of GetBuild: steps with their states, and the new log lines.
using OnProgress = std::function<void(const codec::Json& report)>;

// Packs the context (less what .dockerignore names), uploads it, starts the build and follows it to its end; returns the last report
// ("imageDigest", "steps" …). A failed build is an error that names the step, its line and its last output. Ctrl-C stops the build.
Result<codec::Json> build_image(Client& client, const ImageBuild& build, const OnProgress& on_progress);

// The second half of it, for builds that were started otherwise.
Result<codec::Json> follow_build(Client& client, const std::string& build_id, const OnProgress& on_progress);

// Uploads what the server has not yet of a context; returns its id.
Result<std::string> send_context(Client& client, const up::Context& context);

// Shows progress on stderr, as BuildKit does: live on a terminal, plain lines otherwise.
OnProgress show_progress();

}  // namespace watari::cli
