#include "cli/up/build.h"

#include <deque>
#include <set>
#include <thread>

#include "base/strings.h"
#include "cli/build_client.h"
#include "cli/up/context.h"

namespace watari::cli::up {
namespace {

using codec::Json;

// One build as it is followed.
struct Following {
  std::string name, id;
  std::int64_t position = 0;
  std::set<std::int64_t> told;             // steps
  std::deque<std::pair<std::int64_t, std::string>> tail;  // last lines of the log, with their step
  Stopwatch watch;
  std::string digest;
};

std::string short_line(const std::string& text) { return text.size() > 80 ? text.substr(0, 77) + "…" : text; }

void tell_steps(Following& build, const Json& steps, Progress& progress) {
  for (const auto& step : steps.as_array()) {
    const auto& status = step["status"].as_string();
    auto place = fmt::format("{} {}/{} {}", build.name, step["number"].as_int(), steps.as_array().size(),
                             short_line(step["instruction"].as_string()));
    if (status == "RUNNING") progress.now(place);
    // What was quick or cached is not worth a line.
    if (status != "DONE" || step["milliseconds"].as_int() < 1000 || !build.told.insert(step["number"].as_int()).second) continue;
    progress.line("build", fmt::format("{} ({:.1f} s)", place, step["milliseconds"].as_double() / 1000));
  }
}

std::string summary(const Following& build, const Json& steps) {
  std::size_t cached = 0;
  for (const auto& step : steps.as_array()) cached += step["status"].as_string() == "CACHED";
  auto count = steps.as_array().size();
  return fmt::format("{}: {} in {}", build.name, cached > 0 ? fmt::format("{} steps, {} from the cache,", count, cached) : fmt::format("{} steps", count),
                     build.watch.text());
}

Error build_error(const Following& build, const Json& report) {
  auto message = fmt::format("{} cannot be built: {}", build.name, report["error"].as_string());
  for (const auto& step : report["steps"].as_array()) {
    if (step["status"].as_string() != "FAILED") continue;
    message += fmt::format("\n  step {}, line {} of the Dockerfile: {}", step["number"].as_int(), step["line"].as_int(),
                           step["instruction"].as_string());
    for (const auto& [number, line] : build.tail)
      if (number == step["number"].as_int()) message += "\n    | " + line;
  }
  return {Code::FailedPrecondition, message};
}

// True when the build has come to its end.
Result<bool> poll(Client& client, Following& build, Millis wait, Progress& progress) {
  TRY(auto report, client.call("watari", "GetBuild", Json::object({{"buildId", build.id}, {"logPosition", build.position}, {"waitMilliseconds", wait.count()}})));
  for (const auto& line : report["logLines"].as_array()) {
    build.tail.emplace_back(line["step"].as_int(), line["text"].as_string());
    if (build.tail.size() > 30) build.tail.pop_front();
  }
  bool more = report["nextLogPosition"].as_int() > build.position;
  build.position = report["nextLogPosition"].as_int(build.position);
  tell_steps(build, report["steps"], progress);
  const auto& status = report["status"].as_string();
  if (status == "RUNNING") return false;
  if (more && status == "FAILED") return false;  // the last lines say why: read on
  if (status != "SUCCEEDED") return fail(build_error(build, report));
  build.digest = report["imageDigest"].as_string();
  progress.line("build", summary(build, report["steps"]));
  return true;
}

Result<void> follow(Client& client, std::vector<Following*> builds, Progress& progress) {
  while (!builds.empty()) {
    const auto begun = std::chrono::steady_clock::now();
    for (auto at = builds.begin(); at != builds.end();) {
      // The server answers when the first has news.
      TRY(bool done, poll(client, **at, Millis(at == builds.begin() ? 100 : 0), progress));
      at = done ? builds.erase(at) : at + 1;
    }
    if (!builds.empty()) std::this_thread::sleep_until(begun + Millis(20));
  }
  return {};
}

// The server knows the same files again by their digest, so each directory is sent once.
Result<std::map<std::string, std::string>> send_contexts(Client& client, const App& app, Progress& progress) {
  std::map<std::string, std::vector<std::string>> dockerfiles;
  for (const auto& image : app.images) dockerfiles[image.context].push_back(image.dockerfile);
  std::map<std::string, std::string> ids;
  for (const auto& [directory, files] : dockerfiles) {
    progress.now("sending " + directory);
    TRY(auto context, Context::pack(app.directory / directory, files));
    TRY(ids[directory], send_context(client, context));
  }
  return ids;
}

}  // namespace

Result<Built> build_images(Client& client, const App& app, Progress& progress) {
  TRY(auto contexts, send_contexts(client, app, progress));
  std::deque<Following> builds;
  std::vector<Following*> running;
  for (const auto& image : app.images) {
    auto args = Json::object();
    for (const auto& [name, value] : image.args) args.set(name, value);
    auto repository = app.name + "/" + image.name;
    auto request = Json::object({{"contextId", contexts[image.context]}, {"dockerfile", image.dockerfile}, {"buildArgs", args},
                                 {"tags", Json::array({repository + ":latest"})}});
    if (!image.target.empty()) request.set("target", image.target);
    TRY(auto answer, client.call("watari", "StartBuild", request));
    builds.push_back({.name = image.name, .id = answer["buildId"].as_string()});
    running.push_back(&builds.back());
  }
  TRY_VOID(follow(client, running, progress));
  Built built;
  for (const auto& build : builds) built[build.name] = app.name + "/" + build.name + "@" + build.digest;
  return built;
}

}  // namespace watari::cli::up
