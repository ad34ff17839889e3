#pragma once
// Pseudo terminals: the OCI runtime makes one inside the container and sends us its other end.
#include <functional>
#include <string>

#include "base/result.h"
#include "event_loop.h"
#include "sys/fd.h"

namespace watari::shim {

// Listens on `path` for the runtime's one message. Returns the listening socket, which the caller keeps until then.
Result<sys::Fd> receive_console(EventLoop& loop, const std::string& path, std::function<void(sys::Fd)> received);

}  // namespace watari::shim
