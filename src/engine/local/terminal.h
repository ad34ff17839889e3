#pragma once
// A terminal in a running container. Blocking; any thread.
#include <functional>
#include <string>

#include "base/result.h"
#include "runtime/shim_client.h"
#include "sys/fd.h"

namespace watari::engine {

// Has the shim run `request` (its console_socket is filled in: a socket in `directory`, the task's) and waits for the terminal.
// As Engine::open_terminal.
Result<sys::Fd> open_terminal(runtime::ShimClient& shim, const std::string& directory, runtime::ExecRequest request,
                              std::function<void(int exit_code)> ended);

}  // namespace watari::engine
