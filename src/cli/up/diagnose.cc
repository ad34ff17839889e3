#include "cli/up/diagnose.h"

#include "base/strings.h"
#include "cli/services.h"

namespace watari::cli::up {
namespace {

using codec::Json;

constexpr std::size_t kLines = 40;  // an access log of failed probes must not push out what the application said

// How much a container looks like the culprit.
int suspicion(const Json& container) {
  if (container.has("exitCode") && container["exitCode"].as_int() != 0 && container["exitCode"].as_int() != 143) return 4;
  if (container["healthStatus"].as_string() == "UNHEALTHY") return 3;
  if (!container["reason"].as_string().empty()) return 2;
  return container["lastStatus"].as_string() == "STOPPED" ? 1 : 0;
}

int suspicion_of_task(const Json& task) {
  int most = 0;
  for (const auto& container : task["containers"].as_array()) most = std::max(most, suspicion(container));
  // Those that ended by themselves come before those that were stopped because of them.
  const auto& code = task["stopCode"].as_string();
  return most + (code == "TaskFailedToStart" || code == "EssentialContainerExited" ? 10 : 0);
}

std::string last_lines(Client& client, const Json& task, const std::string& container) {
  auto places = log_places(client, task["taskDefinitionArn"].as_string());
  if (!places) return "";
  std::erase_if(*places, [&](const auto& place) { return place.container != container; });
  auto created = static_cast<std::int64_t>(task["createdAt"].as_double() * 1000);
  auto events = read_logs(client, *places, name_of_arn(task["taskArn"].as_string()), created);
  if (!events) return fmt::format("    its log cannot be read: {}\n", events.error().message);
  if (events->empty()) return fmt::format("    {} has written nothing\n", container);
  std::string out = fmt::format("    last lines of {}:\n", container);
  for (std::size_t i = events->size() > kLines ? events->size() - kLines : 0; i < events->size(); ++i)
    out += fmt::format("    | {}\n", trim((*events)[i].message));
  return out;
}

}  // namespace

std::string diagnose_task(Client& client, const Json& task) {
  auto out = fmt::format("  task {} ({})", name_of_arn(task["taskArn"].as_string()).substr(0, 8), task["lastStatus"].as_string());
  if (auto reason = task["stoppedReason"].as_string(); !reason.empty()) out += ": " + reason;
  out += "\n";
  const Json* culprit = nullptr;
  for (const auto& container : task["containers"].as_array()) {
    if (container.has("exitCode"))
      out += fmt::format("    container {} ended with exit code {}{}\n", container["name"].as_string(), container["exitCode"].as_int(),
                         container["reason"].as_string().empty() ? "" : ": " + container["reason"].as_string());
    else if (!container["reason"].as_string().empty())
      out += fmt::format("    container {}: {}\n", container["name"].as_string(), container["reason"].as_string());
    else if (container["healthStatus"].as_string() == "UNHEALTHY")
      out += fmt::format("    container {} is unhealthy: its health check fails\n", container["name"].as_string());
    if (!culprit || suspicion(container) > suspicion(*culprit)) culprit = &container;
  }
  if (culprit) out += last_lines(client, task, (*culprit)["name"].as_string());
  return out;
}

std::string diagnose_service(Client& client, const std::string& cluster, const std::string& service, const std::string& definition) {
  Json worst;
  for (bool stopped : {false, true}) {
    auto tasks = describe_tasks(client, cluster, service, stopped);
    if (!tasks) continue;
    for (const auto& task : tasks->as_array()) {
      if (task["taskDefinitionArn"].as_string() != definition) continue;
      bool worse = worst.is_null() || suspicion_of_task(task) > suspicion_of_task(worst) ||
                   (suspicion_of_task(task) == suspicion_of_task(worst) && task["createdAt"].as_double() > worst["createdAt"].as_double());
      if (worse) worst = task;
    }
  }
  return worst.is_null() ? "" : diagnose_task(client, worst);
}

}  // namespace watari::cli::up
