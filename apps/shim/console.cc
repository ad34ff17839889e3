#include "console.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "sys/receive_fd.h"

namespace watari::shim {
Result<sys::Fd> receive_console(EventLoop& loop, const std::string& path, std::function<void(sys::Fd)> received) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Code::InvalidArgument, "the name of socket {} is too long", path);
  path.copy(address.sun_path, path.size());
  ::unlink(path.c_str());
  sys::Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener || ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener.get(), 1) != 0)
    return sys::fail_errno("listen on " + path);
  loop.watch(listener.get(), EPOLLIN, [&loop, fd = listener.get(), path, received = std::move(received)] {
    sys::Fd connection(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) return;
    // Source: https://github.com/opencontainers/runc/blob/main/docs/terminals.md (one SCM_RIGHTS message with the master's descriptor)
    auto terminal = sys::receive_fd(connection.get());
    loop.forget(fd);
    ::unlink(path.c_str());
    if (terminal) received(std::move(terminal));
  });
  return listener;
}

}  // namespace watari::shim
