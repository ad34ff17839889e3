#include "builder/agent_proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

namespace watari::builder {
namespace {

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Code::InvalidArgument, "the socket's path {} is too long", path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<sys::Fd> connect_to(const std::string& path) {
  TRY(auto address, address_of(path));
  sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(Code::FailedPrecondition, "no ssh agent answers on {} ({}); it must run on the server's machine", path, std::strerror(errno));
  return socket;
}

// Bytes that came on one socket go out on the other; false when it has ended.
bool pass_on(int from, int to) {
  std::array<char, 16384> buffer{};
  auto count = ::read(from, buffer.data(), buffer.size());
  if (count <= 0) return false;
  for (ssize_t done = 0; done < count;) {
    auto sent = ::send(to, buffer.data() + done, static_cast<std::size_t>(count - done), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    done += sent;
  }
  return true;
}

struct Joined {
  sys::Fd client, agent;
};

void serve(const sys::Fd& listener, const std::string& agent, const StopSignal& stop) {
  std::vector<Joined> all;
  while (!stop.stopped()) {
    std::vector<pollfd> fds{{stop.fd(), POLLIN, 0}, {listener.get(), POLLIN, 0}};
    for (const auto& each : all) {
      fds.push_back({each.client.get(), POLLIN, 0});
      fds.push_back({each.agent.get(), POLLIN, 0});
    }
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
    for (std::size_t i = all.size(); i-- > 0;) {
      bool open = true;
      if (fds[2 + 2 * i].revents != 0) open = pass_on(all[i].client.get(), all[i].agent.get());
      if (open && fds[3 + 2 * i].revents != 0) open = pass_on(all[i].agent.get(), all[i].client.get());
      if (!open) all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (fds[1].revents == 0) continue;
    sys::Fd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    auto upstream = connect_to(agent);
    if (client && upstream) all.push_back({std::move(client), std::move(*upstream)});
  }
}

}  // namespace

Result<AgentProxy> AgentProxy::start(const std::filesystem::path& socket, const std::string& agent, Owner owner, std::uint32_t mode) {
  TRY_VOID(connect_to(agent));
  TRY(auto address, address_of(socket));
  sys::Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener || ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(listener.get(), 16) != 0)
    return sys::fail_errno("listen on " + socket.string());
  if (::chmod(socket.c_str(), mode) != 0 || ::chown(socket.c_str(), owner.uid, owner.gid) != 0) return sys::fail_errno("set owner of " + socket.string());
  AgentProxy proxy;
  proxy.thread_ = std::jthread([listener = std::move(listener), agent, stop = proxy.stop_.get()] { serve(listener, agent, *stop); });
  return proxy;
}

AgentProxy::~AgentProxy() {
  if (stop_) stop_->stop();
}

}  // namespace watari::builder
