// watari exec: a command in a running container.
#include <CLI/CLI.hpp>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/services.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;

struct Options : Common {
  std::string name, cluster, container;
  std::vector<std::string> command;
  int timeout = 60;
  bool interactive = false;
};

// Of a service: the task that has run for the longest time.
Result<std::string> running_task(Client& client, const Found& found) {
  if (!found.task.is_null()) return found.task["taskArn"].as_string();
  TRY(auto tasks, describe_tasks(client, found.cluster, found.service, false));
  const Json* oldest = nullptr;
  for (const auto& task : tasks.as_array()) {
    if (task["lastStatus"].as_string() != "RUNNING") continue;
    if (!oldest || task["createdAt"].as_double() < (*oldest)["createdAt"].as_double()) oldest = &task;
  }
  if (!oldest) return fail(Code::FailedPrecondition, "{} has no running task; `watari status {}` says why", found.service, found.cluster);
  return (*oldest)["taskArn"].as_string();
}

// As a shell would have to read it to get the words back.
std::string quoted(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) {
    out += out.empty() ? "'" : " '";
    for (char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    out += "'";
  }
  return out;
}

Result<int> converse(Client& client, const Options& options, const Found& found, const std::string& task) {
  auto words = options.command.empty() ? std::vector<std::string>{"/bin/sh"} : options.command;
  auto request = Json::object({{"cluster", found.cluster}, {"task", task}, {"command", quoted(words)}, {"interactive", true}});
  if (!options.container.empty()) request.set("container", options.container);
  TRY(auto answer, client.call("ecs", "ExecuteCommand", request));
  return run_session(client, answer["session"]);
}

// The command's own exit code.
Result<int> exec(const Options& options) {
  if (options.command.empty() && !options.interactive) return fail(Error{Code::InvalidArgument, "no command: watari exec NAME COMMAND…", "usage"});
  TRY(auto client, options.connect());
  TRY(auto found, find_by_name(client, options.name, options.cluster));
  TRY(auto task, running_task(client, found));
  if (options.interactive) return converse(client, options, found, task);
  auto command = Json::array();
  for (const auto& word : options.command) command.push(word);
  auto request = Json::object({{"cluster", found.cluster}, {"task", task}, {"command", command}, {"timeoutSeconds", options.timeout}});
  if (!options.container.empty()) request.set("container", options.container);
  TRY(auto answer, client.call("watari", "RunCommand", request));
  if (options.json) fmt::print("{}\n", answer.pretty());
  else fmt::print("{}", answer["output"].as_string());
  return static_cast<int>(answer["exitCode"].as_int());
}

}  // namespace

void add_exec(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "exec", "Run a command in a running container");
  verb->add_option("name", options->name, "Service (or the end of its name), or the beginning of a task's id")->required();
  verb->add_option("-c,--container", options->container, "Which container of the task (default: the first that runs)");
  verb->add_option("--cluster", options->cluster, "Look in this cluster only");
  verb->add_option("--timeout", options->timeout, "Seconds until the command is ended")->check(CLI::Range(1, 600))->capture_default_str();
  verb->add_flag("-i,-t,--interactive", options->interactive, "With a terminal (-it); without a command it is /bin/sh. The task must allow it (enableExecuteCommand)");
  add_common(*verb, *options);
  verb->prefix_command();  // everything from the command's name on belongs to the command
  verb->footer("The exit code is that of the command. Options come before the name:\n  watari exec api ps aux\n"
               "  watari exec -c app api ls -l /app\n  watari exec -it api bash");
  verb->callback([options, verb, &run] {
    options->command = verb->remaining();
    if (!options->command.empty() && options->command.front() == "--") options->command.erase(options->command.begin());
    run = [options] {
      auto code = exec(*options);
      return code ? *code : finish(fail(code.error()));
    };
  });
}

}  // namespace watari::cli
