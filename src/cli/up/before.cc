#include "cli/up/before.h"

#include <thread>

#include "base/digest.h"
#include "base/strings.h"
#include "cli/up/diagnose.h"
#include "cli/up/patience.h"

namespace watari::cli::up {
namespace {

using codec::Json;

Result<Json> start(Client& client, const App& app, const Network& network, const Rollout& rollout, int attempt) {
  // The token makes the same call give the same task, also when the answer to the first one was lost.
  auto token = sha256_hex(fmt::format("{} {}", rollout.before_definition, attempt)).substr(0, 36);
  auto request = Json::object({{"cluster", app.cluster()}, {"taskDefinition", rollout.before_definition}, {"count", 1},
                               {"clientToken", token}, {"startedBy", "watari-up"}, {"networkConfiguration", network_configuration(network)}});
  TRY(auto answer, patiently(client, "ecs", "RunTask", request));
  for (const auto& failure : answer["failures"].as_array())
    return fail(Code::FailedPrecondition, "{}: the task before the release cannot start: {} {}", rollout.service->name,
                failure["reason"].as_string(), failure["detail"].as_string());
  if (answer["tasks"].as_array().empty()) return fail(Code::Internal, "{}: RunTask started nothing", rollout.service->name);
  return answer["tasks"].as_array()[0];
}

Result<Json> wait_until_stopped(Client& client, const App& app, const Rollout& rollout, Json task, Progress& progress) {
  Stopwatch watch;
  auto request = Json::object({{"cluster", app.cluster()}, {"tasks", Json::array({task["taskArn"]})}});
  auto pause = Millis(30);
  while (task["lastStatus"].as_string() != "STOPPED") {
    progress.now(fmt::format("{}: {} ({})", rollout.service->name, join(rollout.service->release.before->command, " "), watch.text()));
    if (watch.seconds() > static_cast<double>(rollout.service->release.timeout.count())) {
      (void)client.call("ecs", "StopTask", Json::object({{"cluster", app.cluster()}, {"task", task["taskArn"]}, {"reason", "watari up: timeout"}}));
      return fail(Code::DeadlineExceeded, "{}: the task before the release has not ended within {} s (release.timeout)\n{}",
                  rollout.service->name, rollout.service->release.timeout.count(), diagnose_task(client, task));
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 3 / 2, Millis(300));
    TRY(auto answer, patiently(client, "ecs", "DescribeTasks", request));
    if (answer["tasks"].as_array().empty()) return fail(Code::Internal, "{}: the task before the release is gone", rollout.service->name);
    task = answer["tasks"].as_array()[0];
  }
  return task;
}

bool succeeded(const Json& task) {
  const auto& containers = task["containers"].as_array();
  return !containers.empty() && containers[0].has("exitCode") && containers[0]["exitCode"].as_int() == 0;
}

}  // namespace

Json network_configuration(const Network& network) {
  return Json::object({{"awsvpcConfiguration", Json::object({{"subnets", network.subnets}, {"securityGroups", Json::array({network.tasks})}})}});
}

Result<void> run_before(Client& client, const App& app, const Network& network, const Rollout& rollout, Progress& progress) {
  for (int attempt = 0;; ++attempt) {
    Stopwatch watch;
    TRY(auto task, start(client, app, network, rollout, attempt));
    bool of_an_earlier_run = task["lastStatus"].as_string() == "STOPPED";
    TRY(auto ended, wait_until_stopped(client, app, rollout, task, progress));
    auto command = join(rollout.service->release.before->command, " ");
    if (succeeded(ended)) {
      progress.line(rollout.service->name, of_an_earlier_run ? fmt::format("{} has run already", command)
                                                             : fmt::format("{} done ({})", command, watch.text()));
      return {};
    }
    // A failure of an earlier `up` may have been repaired since: this run gets an attempt of its own.
    if (!of_an_earlier_run)
      return fail(Code::FailedPrecondition, "{}: {} failed, so the release has not begun\n{}", rollout.service->name, command,
                  diagnose_task(client, ended));
  }
}

}  // namespace watari::cli::up
