#include "cli/build_client.h"

#include <chrono>
#include <csignal>
#include <map>
#include <thread>

namespace watari::cli {
namespace {

using codec::Json;

volatile std::sig_atomic_t interrupted = 0;

// While it lives, the first Ctrl-C is noted instead of ending the program.
class NoteInterrupts {
 public:
  NoteInterrupts() {
    interrupted = 0;
    struct sigaction action{};
    action.sa_handler = [](int) { interrupted = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(SIGINT, &action, &before_);
  }
  ~NoteInterrupts() { ::sigaction(SIGINT, &before_, nullptr); }
  NoteInterrupts(const NoteInterrupts&) = delete;
  NoteInterrupts& operator=(const NoteInterrupts&) = delete;

 private:
  struct sigaction before_{};
};

Result<up::Context> pack_directory(const std::filesystem::path& directory, const std::filesystem::path& ignore_file) {
  std::error_code problem;
  if (!std::filesystem::is_directory(directory, problem)) return fail(Code::NotFound, "{} is no directory", directory.string());
  return up::Context::pack(directory, {}, ignore_file);
}

// Keeps the last lines of each step, for the error of a failed build.
class Tail {
 public:
  void add(const Json& report) {
    for (const auto& line : report["logLines"].as_array()) {
      auto& lines = lines_[line["step"].as_int()];
      lines.push_back(line["text"].as_string());
      if (lines.size() > 20) lines.erase(lines.begin());
    }
  }
  std::string of_failed_step(const Json& report) const {
    std::string text;
    for (const auto& step : report["steps"].as_array()) {
      auto found = lines_.find(step["number"].as_int());
      if (step["status"].as_string() != "FAILED" || found == lines_.end()) continue;
      for (const auto& line : found->second) text += "\n  " + line;
    }
    return text.empty() ? text : "\nits last output:" + text;
  }

 private:
  std::map<std::int64_t, std::vector<std::string>> lines_;
};

}  // namespace

namespace {

// The index first; then the content that the server has not seen yet.
Result<std::string> upload_context(Client& client, const up::Context& context) {
  TRY(const auto bytes, context.index());
  auto index = [rest = std::string_view(bytes)]() mutable {
    auto piece = rest.substr(0, 256 * 1024);
    rest.remove_prefix(piece.size());
    return std::string(piece);
  };
  TRY(auto answer, client.upload("/watari/contexts", {"index", context.sha256(), static_cast<std::int64_t>(bytes.size()), index}));
  auto id = answer["contextId"].as_string();
  if (answer["missing"].as_array().empty()) return id;
  std::vector<std::string> missing;
  for (const auto& digest : answer["missing"].as_array()) missing.push_back(digest.as_string());
  TRY(auto content, context.content(missing));
  TRY(answer, client.upload("/watari/contexts", {"files " + id, "", content.size(), [&content] { return content.next(); }}));
  if (answer["missing"].as_array().empty()) return id;
  return fail(Code::Conflict, "the server lost a part of the build context meanwhile; build again");
}

}  // namespace

Result<std::string> send_context(Client& client, const up::Context& context) {
  auto known = client.call("watari", "FindContext", Json::object({{"sha256", context.sha256()}}));
  if (known) return (*known)["contextId"].as_string();
  if (known.error().reason != "ResourceNotFoundException") return fail(known.error());
  return upload_context(client, context);
}

namespace {

// The server answers when there is something to tell, or after this time.
constexpr Millis kWait(100);

// What the build has come to, when it has ended.
Result<std::optional<Json>> ending(const Json& report, const Tail& tail) {
  const auto& status = report["status"].as_string();
  if (status == "RUNNING") return std::nullopt;
  if (status == "SUCCEEDED") return report;
  if (status == "STOPPED") return fail(Code::Cancelled, "the build was stopped");
  return fail(Code::FailedPrecondition, "{}{}", report["error"].as_string(), tail.of_failed_step(report));
}

// `report` is the first of the build.
Result<Json> follow(Client& client, Json report, const OnProgress& on_progress) {
  NoteInterrupts noting;
  Tail tail;
  std::int64_t position = 0;
  for (auto asked = std::chrono::steady_clock::time_point();;) {
    const bool more = report["nextLogPosition"].as_int() != position;
    position = report["nextLogPosition"].as_int();
    tail.add(report);
    on_progress(report);
    if (!more) {
      TRY(auto end, ending(report, tail));
      if (end) return std::move(*end);
      // Where many builds are followed the server does not wait.
      std::this_thread::sleep_until(asked + kWait / 4);
    }
    if (interrupted == 1) {
      interrupted = 2;
      TRY_VOID(client.call("watari", "StopBuild", Json::object({{"buildId", report["buildId"]}})));
    }
    asked = std::chrono::steady_clock::now();
    TRY(report, client.call("watari", "GetBuild", Json::object({{"buildId", report["buildId"]}, {"logPosition", position}, {"waitMilliseconds", kWait.count()}})));
  }
}

}  // namespace

Result<Json> follow_build(Client& client, const std::string& build_id, const OnProgress& on_progress) {
  TRY(auto report, client.call("watari", "GetBuild", Json::object({{"buildId", build_id}, {"waitMilliseconds", kWait.count()}})));
  return follow(client, std::move(report), on_progress);
}

namespace {

Json to_json(const std::map<std::string, std::string>& values) {
  auto object = Json::object();
  for (const auto& [name, value] : values) object.set(name, value);
  return object;
}

}  // namespace

Result<Json> build_image(Client& client, const ImageBuild& build, const OnProgress& on_progress) {
  TRY(auto context, pack_directory(build.context, build.ignore_file));
  auto request = Json::object({{"contextId", context.sha256()}, {"waitMilliseconds", kWait.count()}, {"dockerfile", build.dockerfile}, {"dockerfileText", build.dockerfile_text}});
  if (!build.target.empty()) request.set("target", build.target);
  if (build.no_cache) request.set("noCache", true);
  if (build.check) request.set("check", true);
  if (build.docker) request.set("docker", true);
  if (build.memory_mib > 0) request.set("memoryMiB", build.memory_mib);
  if (build.cpus > 0) request.set("cpus", build.cpus);
  if (build.timeout_seconds > 0) request.set("timeoutSeconds", build.timeout_seconds);
  auto contexts = build.contexts;
  for (auto& [name, value] : contexts)
    if (!value.starts_with("image:")) {
      TRY(auto named, pack_directory(value, {}));
      TRY(value, send_context(client, named));
    }
  auto tags = Json::array();
  for (const auto& tag : build.tags) tags.push(Json(tag));
  if (!build.args.empty()) request.set("buildArgs", to_json(build.args));
  if (!contexts.empty()) request.set("contexts", to_json(contexts));
  if (!build.secrets.empty()) request.set("secrets", to_json(build.secrets));
  if (!build.agents.empty()) request.set("sshAgents", to_json(build.agents));
  if (!build.tags.empty()) request.set("tags", std::move(tags));
  // Most contexts have been here before: the build is asked for first, and its files are sent when they are missing.
  auto started = client.call("watari", "StartBuild", request);
  if (!started && started.error().reason == "ResourceNotFoundException") {
    TRY(auto id, upload_context(client, context));
    request.set("contextId", id);
    started = client.call("watari", "StartBuild", std::move(request));
  }
  if (!started) return fail(started.error());
  return follow(client, (*started)["build"], on_progress);
}

}  // namespace watari::cli
