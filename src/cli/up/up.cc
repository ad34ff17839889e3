// watari up: builds and releases the application of a directory, pass by pass, and returns when it serves.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>

#include "base/strings.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/up/app.h"
#include "cli/up/build.h"
#include "cli/up/definition.h"
#include "cli/up/network.h"
#include "cli/up/release.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;
using namespace up;

struct Options : Common {
  std::string directory = ".", environment;
};

// One run of the verb; each pass leaves its result for the next.
class Deployment {
 public:
  Deployment(Client client, App app, bool json) : client_(std::move(client)), app_(std::move(app)), progress_(json) {}

  Result<void> run() {
    struct Pass {
      const char* name;
      Result<void> (Deployment::*run)();
    };
    constexpr Pass passes[] = {{"parameters", &Deployment::check_parameters},
                               {"build", &Deployment::build},
                               {"task definitions", &Deployment::define},
                               {"network", &Deployment::connect},
                               {"release", &Deployment::release_all},
                               {"tidy", &Deployment::tidy}};
    progress_.heading(fmt::format("{} ({})", app_.name, app_.environment));
    for (const auto& pass : passes) {
      Stopwatch watch;
      TRY_VOID((this->*pass.run)());
      seconds_[pass.name] = watch.seconds();
    }
    return {};
  }

  void report(bool json) const {
    bool changed = std::ranges::any_of(rollouts_, &Rollout::changed);
    if (json) return print_json(changed);
    fmt::print("{} in {:.1f} s\n", changed ? "done" : "nothing has changed: everything was as watari.yml says", total_.seconds());
    for (const auto& [service, balanced] : network_.balanced) fmt::print("{} serves on {}\n", service, balanced.url);
  }

 private:
  // A missing secret is found now, not when the first task starts.
  Result<void> check_parameters() {
    std::map<std::string, std::string> wanted;  // name -> who wants it
    for (const auto& service : app_.services)
      for (const auto& container : service.containers)
        for (const auto& [variable, parameter] : container.secrets)
          if (!parameter.starts_with("arn:")) wanted.emplace(parameter, fmt::format("{} of {}", variable, service.name));
    std::string missing;
    for (auto at = wanted.begin(); at != wanted.end();) {
      auto names = Json::array();
      for (int i = 0; i < 10 && at != wanted.end(); ++i, ++at) names.push(at->first);  // GetParameters takes ten
      TRY(auto answer, client_.call("ssm", "GetParameters", Json::object({{"Names", names}})));
      for (const auto& name : answer["InvalidParameters"].as_array())
        missing += fmt::format("\n  {} ({}): set it with `watari param set {} --secure`", name.as_string(), wanted[name.as_string()],
                               name.as_string());
    }
    if (!missing.empty()) return fail(Code::NotFound, "parameters are missing:{}", missing);
    return {};
  }

  Result<void> build() {
    TRY(built_, build_images(client_, app_, progress_));
    return {};
  }

  Result<void> define() {
    for (const auto& service : app_.services) {
      Rollout rollout{.service = &service, .full_name = app_.full_name(service.name)};
      const auto& region = client_.place().region;
      TRY(auto registered, register_definition(client_, task_definition(app_, service, built_, region)));
      rollout.definition = registered.arn;
      if (service.release.before) {
        TRY(auto before, register_definition(client_, before_definition(app_, service, built_, region)));
        rollout.before_definition = before.arn;
      }
      rollouts_.push_back(std::move(rollout));
    }
    return {};
  }

  Result<void> connect() {
    TRY(network_, ensure_network(client_, app_, progress_));
    return {};
  }

  // Wave by wave: what a service depends on serves before it is touched.
  Result<void> release_all() {
    std::set<std::string> done;
    while (done.size() < rollouts_.size()) {
      std::vector<Rollout*> wave;
      for (auto& rollout : rollouts_) {
        auto ready = [&](const std::string& other) { return done.contains(other); };
        if (!done.contains(rollout.service->name) && std::ranges::all_of(rollout.service->depends_on, ready)) wave.push_back(&rollout);
      }
      TRY_VOID(release(client_, app_, network_, wave, progress_));
      for (auto* rollout : wave) done.insert(rollout->service->name);
    }
    return {};
  }

  // A service that is gone from the file is told, not removed.
  Result<void> tidy() {
    TRY_VOID(close_former_listeners(client_, network_, progress_));
    auto services = client_.call_all("ecs", "ListServices", Json::object({{"cluster", app_.cluster()}}), "serviceArns");
    if (!services) return fail(services.error());
    for (const auto& arn : services->as_array()) {
      auto name = name_of_arn(arn.as_string());
      if (std::ranges::find(rollouts_, name, &Rollout::full_name) == rollouts_.end())
        progress_.line("note", fmt::format("{} is not in watari.yml any more; `watari down --service {}` removes it", name, name));
    }
    return {};
  }

  void print_json(bool changed) const {
    auto services = Json::array();
    for (const auto& rollout : rollouts_) {
      auto balanced = network_.balanced.find(rollout.service->name);
      services.push(Json::object({{"name", rollout.service->name}, {"service", rollout.full_name}, {"taskDefinition", rollout.definition},
                                  {"changed", rollout.changed}, {"seconds", rollout.seconds},
                                  {"url", balanced == network_.balanced.end() ? Json() : Json(balanced->second.url)}}));
    }
    auto times = Json::object();
    for (const auto& [name, seconds] : seconds_) times.set(name, seconds);
    fmt::print("{}\n", Json::object({{"app", app_.name}, {"environment", app_.environment}, {"cluster", app_.cluster()},
                                     {"changed", changed}, {"services", services}, {"seconds", total_.seconds()}, {"passes", times}})
                           .pretty());
  }

  Client client_;
  App app_;
  Progress progress_;
  Stopwatch total_;
  std::map<std::string, double> seconds_;
  Built built_;
  std::vector<Rollout> rollouts_;
  Network network_;
};

Result<void> run_up(const Options& options) {
  TRY(auto app, read_app(options.directory, options.environment));
  TRY(auto client, options.connect());
  client.set_patience(Seconds(60));
  Deployment run(std::move(client), std::move(app), options.json);
  TRY_VOID(run.run());
  run.report(options.json);
  return {};
}

}  // namespace

void add_up(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "up", "Build and release the application of a directory; return when it serves");
  verb->add_option("directory", options->directory, "Where watari.yml is")->capture_default_str();
  verb->add_option("--env", options->environment, "Which of its environments; may be left out when there is one");
  add_common(*verb, *options);
  verb->footer("Examples:\n  watari up\n  watari up examples/reservations --env staging\n"
               "Running it again without changes changes nothing. When a release fails, the old revision goes on serving.\n"
               "docs/watari-yml.md describes the file.");
  verb->callback([options, &run] { run = [options] { return finish(run_up(*options)); }; });
}

}  // namespace watari::cli
