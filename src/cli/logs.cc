// watari logs: what the containers of a service or task wrote.
#include <CLI/CLI.hpp>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/strings.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/services.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;

struct Options : Common {
  std::string name, cluster, since = "10m";
  bool follow = false;
};

std::int64_t now_ms() { return SystemClock().now().time_since_epoch().count(); }

// "30s", "10m", "2h", "1d"
Result<std::int64_t> duration_ms(const std::string& text) {
  constexpr std::pair<char, std::int64_t> units[] = {{'s', 1000}, {'m', 60'000}, {'h', 3'600'000}, {'d', 86'400'000}};
  for (auto [unit, ms] : units)
    if (text.ends_with(unit))
      if (auto count = parse_number<std::int64_t>(text.substr(0, text.size() - 1))) return *count * ms;
  return fail(Error{Code::InvalidArgument, "--since " + text + ": say 30s, 10m, 2h or 1d", "usage"});
}

void print(const LogEvent& event, bool json, std::size_t width) {
  if (json) {
    fmt::print("{}\n", Json::object({{"timestamp", event.at}, {"task", event.task}, {"container", event.container},
                                     {"message", event.message}}).dump());
    return;
  }
  auto ms = event.at % 1000;
  fmt::print("{}.{:03} {:<{}} {}\n", clock_time(static_cast<double>(event.at / 1000)), ms,
             event.container + "/" + event.task.substr(0, 8), width, trim(event.message));
}

Result<void> logs(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto before, duration_ms(options.since));
  TRY(auto found, find_by_name(client, options.name, options.cluster));
  TRY(auto places, log_places(client, found.task_definition));
  if (places.empty()) return fail(Code::FailedPrecondition, "{} has no container with logConfiguration awslogs", options.name);
  std::size_t width = 0;
  for (const auto& place : places) width = std::max(width, place.container.size() + 9);
  auto task = found.task.is_null() ? "" : name_of_arn(found.task["taskArn"].as_string());

  auto since = now_ms() - before;
  std::set<std::string> seen;  // a line may arrive late, with a time just passed
  constexpr std::int64_t kOverlap = 5000;
  while (true) {
    auto events = read_logs(client, places, task, since);
    if (!events && !(options.follow && events.error().code == Code::Unavailable)) return fail(events.error());
    if (events) {
      for (const auto& event : *events)
        if (seen.insert(event.id).second) print(event, options.json, width);
      std::fflush(stdout);
      if (!options.follow) return {};
      since = std::max(since, now_ms() - kOverlap);
    }
    std::this_thread::sleep_for(Millis(500));
    // A new revision may log from other containers.
    if (auto again = find_by_name(client, options.name, options.cluster); again && again->task_definition != found.task_definition) {
      found = *again;
      if (auto changed = log_places(client, found.task_definition)) places = *changed;
    }
  }
}

}  // namespace

void add_logs(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "logs", "Print what a service's or task's containers wrote");
  verb->add_option("name", options->name, "Service (or the end of its name), or the beginning of a task's id")->required();
  verb->add_flag("-f,--follow", options->follow, "Go on printing as lines come");
  verb->add_option("--since", options->since, "How far back: 30s, 10m, 2h, 1d")->capture_default_str();
  verb->add_option("--cluster", options->cluster, "Look in this cluster only");
  add_common(*verb, *options);
  verb->footer("Examples:\n  watari logs -f api\n  watari logs --since 1h --cluster shop-production worker");
  verb->callback([options, &run] { run = [options] { return finish(logs(*options)); }; });
}

}  // namespace watari::cli
