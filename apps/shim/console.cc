#include "console.h"

#include <sys/socket.h>
#include <sys/un.h>

namespace watari::shim {
namespace {

// Source: https://github.com/opencontainers/runc/blob/main/docs/terminals.md (one SCM_RIGHTS message with the master's descriptor)
sys::Fd receive_descriptor(int socket) {
  char byte[256];
  iovec part{byte, sizeof byte};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) < 0) return {};
  auto* header = CMSG_FIRSTHDR(&message);
  if (!header || header->cmsg_type != SCM_RIGHTS) return {};
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return sys::Fd(fd);
}

}  // namespace

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
    auto terminal = receive_descriptor(connection.get());
    loop.forget(fd);
    ::unlink(path.c_str());
    if (terminal) received(std::move(terminal));
  });
  return listener;
}

}  // namespace watari::shim
