#include "aws/terminals.h"

#include <algorithm>

#include "control/control.h"
#include "engine/sessions.h"

namespace watari::aws {

bool allows_commands(const model::Task& task) { return std::ranges::count(task.tags, kAllowsCommands, &model::Tag::key) > 0; }

engine::Sessions* sessions_of(const Call& call) {
  auto* terminals = dynamic_cast<engine::Terminals*>(call.platform.control->engine());
  return terminals ? &terminals->sessions() : nullptr;
}

Result<std::string> exec_container(const model::Task& task, const std::string& wanted) {
  if (!allows_commands(task) || task.status.state != model::TaskState::Running)
    return error("InvalidParameterException",
                 "The execute command failed because execute command was not enabled when the task was run or the execute command agent "
                 "isn't running. Wait and try again or run a new task with execute command enabled and try again.");
  const auto& containers = task.status.containers;
  if (wanted.empty() && containers.size() != 1)
    return error("InvalidParameterException", "The task has {} containers; a container name must be given.", containers.size());
  auto found = wanted.empty() ? containers.begin() : std::ranges::find(containers, wanted, &model::ContainerStatus::name);
  if (found == containers.end()) return error("InvalidParameterException", "The container {} is not in the task.", wanted);
  if (found->state != model::ContainerState::Running) return error("InvalidParameterException", "The container {} is not running.", found->name);
  return found->name;
}

Result<TerminalSession> open_session(Call& call, const model::Task& task, const std::string& container, std::vector<std::string> argv) {
  auto* sessions = sessions_of(call);
  if (!sessions) return fail(Code::Unavailable, "this server's engine opens no terminals");
  TRY(auto opened, sessions->create({task.id, container, std::move(argv), call.principal}));
  auto url = fmt::format("{}://{}{}/{}?role=publish_subscribe", call.secure ? "wss" : "ws", call.host, engine::Sessions::kPath, opened.id);
  return TerminalSession{opened.id, opened.token, url};
}

}  // namespace watari::aws
