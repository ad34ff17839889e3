#pragma once
// From a task and a container to a session with its addresses. Control loop.
#include <string>
#include <string_view>
#include <vector>

#include "aws/call.h"
#include "model/task.h"

namespace watari::engine {
class Sessions;
}

namespace watari::aws {

// A task may be entered when it was started with enableExecuteCommand; it carries that as a tag, which is not shown.
inline constexpr std::string_view kAllowsCommands = "aws:ecs:enableExecuteCommand";
bool allows_commands(const model::Task& task);
engine::Sessions* sessions_of(const Call& call);  // null: this engine opens no terminals

// InvalidParameterException (ECS's words) when the task does not allow commands, or the container is not there or not running.
// Empty `wanted`: the only one.
Result<std::string> exec_container(const model::Task& task, const std::string& wanted);

struct TerminalSession {
  std::string id, token, url;  // ws:// or wss://, by the name under which the caller reached the server
};
Result<TerminalSession> open_session(Call& call, const model::Task& task, const std::string& container, std::vector<std::string> argv);

}  // namespace watari::aws
