#include "balancer/listening.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <filesystem>

#include "balancer/ports.h"
#include "balancer/process.h"
#include "base/strings.h"

namespace watari::balancer {

namespace {

constexpr int kBacklog = 4096;  // the kernel lowers it to net.core.somaxconn

// Address (as bind_addresses() writes it) and port of a TCP socket that listens; port 0 for any other.
std::pair<std::string, int> listens_at(int fd) {
  int listening = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening) return {};
  sockaddr_storage name{};
  size = sizeof name;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return {};
  char text[INET6_ADDRSTRLEN] = "";
  if (name.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(name);
    ::inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
    return {text, ntohs(four.sin_port)};
  }
  if (name.ss_family != AF_INET6) return {};
  const auto& six = reinterpret_cast<const sockaddr_in6&>(name);
  ::inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
  return {fmt::format("[{}]", text), ntohs(six.sin6_port)};
}

int pid_of(int pidfd) {
  for (const auto& line : split(read_file("/proc/self/fdinfo/" + std::to_string(pidfd)).value_or(""), '\n'))
    if (line.starts_with("Pid:")) return parse_number<int>(trim(line.substr(4))).value_or(-1);
  return -1;
}

}  // namespace

void ListeningSockets::adopt(int pidfd) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid_of(pidfd)), error)) {
    std::error_code gone;
    if (!std::filesystem::read_symlink(entry.path(), gone).string().starts_with("socket:")) continue;
    auto number = parse_number<int>(entry.path().filename().string());
    sys::Fd copy(number ? static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, *number, 0)) : -1);
    if (!copy) continue;
    auto [address, port] = listens_at(copy.get());
    auto known = std::ranges::find(addresses_, address);
    if (port != 0 && known != addresses_.end())
      sockets_[{port, static_cast<std::size_t>(known - addresses_.begin())}] = std::move(copy);
  }
}

Result<void> ListeningSockets::open(const std::set<int>& ports) {
  for (int port : ports)
    for (std::size_t i = 0; i < addresses_.size(); ++i) {
      if (sockets_.contains({port, i})) continue;
      sys::Fd socket;
      if (bind_tcp(addresses_[i], port, socket) != 0 || ::listen(socket.get(), kBacklog) != 0) {
        TRY_VOID(port_is_free({addresses_[i]}, port));
        return fail(Code::Unavailable, "cannot listen on {} port {}", addresses_[i], port);  // it was taken for a moment
      }
      sockets_[{port, i}] = std::move(socket);
    }
  return {};
}

void ListeningSockets::keep(const std::set<int>& ports) {
  std::erase_if(sockets_, [&](const auto& entry) { return !ports.contains(entry.first.first); });
}

bool ListeningSockets::holds(int port) const {
  for (std::size_t i = 0; i < addresses_.size(); ++i)
    if (!sockets_.contains({port, i})) return false;
  return true;
}

std::set<int> ListeningSockets::ports() const {
  std::set<int> out;
  for (const auto& [where, socket] : sockets_) out.insert(where.first);
  return out;
}

std::vector<std::pair<std::string, int>> ListeningSockets::inherited(const std::set<int>& ports) const {
  std::vector<std::pair<std::string, int>> out;
  for (const auto& [where, socket] : sockets_)
    if (ports.contains(where.first)) out.emplace_back(listening_variable(where.first, where.second), socket.get());
  return out;
}

std::string listening_variable(int port, std::size_t address) { return fmt::format("LISTEN_{}_{}", port, address); }

}  // namespace watari::balancer
