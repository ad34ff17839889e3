#include "balancer/listening.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "balancer/ports.h"
#include "balancer/process.h"
#include "base/digest.h"
#include "base/strings.h"
#include "sys/netns.h"

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

std::string inode_of(const struct stat& info) { return fmt::format("{}:{}", info.st_dev, info.st_ino); }

// Identity of the namespace that a socket belongs to; empty: this process's own, or one without a name.
std::string namespace_of(int socket) {
  sys::Fd space(::ioctl(socket, SIOCGSKNS));
  struct stat info{}, own{};
  if (!space || ::fstat(space.get(), &info) != 0 || ::stat("/proc/self/ns/net", &own) != 0 || inode_of(info) == inode_of(own)) return "";
  for (const auto& name : sys::list_netns("").value_or(std::vector<std::string>{}))
    if (auto identity = identity_of_namespace(name); identity.ends_with(" " + inode_of(info))) return identity;
  return "";
}

// "172.31.0.1@name 4:1" -> "172.31.0.1", "name"
std::pair<std::string, std::string> parts_of(const Place& place) {
  auto at = place.find('@');
  if (at == std::string::npos) return {place, ""};
  return {place.substr(0, at), place.substr(at + 1, place.find(' ') - at - 1)};
}

int listen_at(const Place& place, int port, sys::Fd& out) {
  auto [address, name] = parts_of(place);
  auto open_here = [&] {
    int error = bind_tcp(address, port, out);
    return error != 0 ? error : ::listen(out.get(), kBacklog) == 0 ? 0 : errno;
  };
  if (name.empty()) return open_here();
  int error = ENONET;
  if (auto space = sys::open_netns(name))
    (void)sys::run_in_netns(*space, [&]() -> Result<void> {
      error = open_here();
      return {};
    });
  return error;
}

}  // namespace

std::string identity_of_namespace(const std::string& name) {
  struct stat info{};
  return ::stat(("/run/netns/" + name).c_str(), &info) == 0 ? name + " " + inode_of(info) : "";
}

Place place_inside(const std::string& identity) {
  auto space = sys::open_netns(identity.substr(0, identity.find(' ')));
  std::string found;
  if (!space) return "";
  (void)sys::run_in_netns(*space, [&]() -> Result<void> {
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0) return {};
    for (auto* entry = first; entry; entry = entry->ifa_next) {
      if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_INET || std::string_view(entry->ifa_name) != "lo") continue;
      char text[INET_ADDRSTRLEN] = "";
      ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr, text, sizeof text);
      if (found.empty() && !std::string_view(text).starts_with("127.")) found = text;
    }
    ::freeifaddrs(first);
    return {};
  });
  return found.empty() ? "" : found + "@" + identity;
}

void ListeningSockets::adopt(int pidfd) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid_of(pidfd)), error)) {
    std::error_code gone;
    if (!std::filesystem::read_symlink(entry.path(), gone).string().starts_with("socket:")) continue;
    auto number = parse_number<int>(entry.path().filename().string());
    sys::Fd copy(number ? static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, *number, 0)) : -1);
    if (!copy) continue;
    auto [address, port] = listens_at(copy.get());
    if (port == 0) continue;
    if (auto space = namespace_of(copy.get()); !space.empty()) sockets_[{port, address + "@" + space}] = std::move(copy);
    else if (std::ranges::find(addresses_, address) != addresses_.end()) sockets_[{port, address}] = std::move(copy);
  }
}

Result<void> ListeningSockets::open(const ListeningAt& wanted) {
  for (const auto& [port, place] : wanted) {
    if (sockets_.contains({port, place})) continue;
    sys::Fd socket;
    if (int failed = listen_at(place, port, socket); failed != 0) {
      if (!place.contains('@')) TRY_VOID(port_is_free({place}, port));
      return fail(Code::Unavailable, "cannot listen on {} port {}: {}", place, port, std::strerror(failed));
    }
    sockets_[{port, place}] = std::move(socket);
  }
  return {};
}

void ListeningSockets::keep(const ListeningAt& wanted) {
  std::erase_if(sockets_, [&](const auto& entry) { return !wanted.contains(entry.first); });
}

bool ListeningSockets::holds(int port) const {
  return std::ranges::all_of(addresses_, [&](const std::string& address) { return sockets_.contains({port, address}); });
}

std::set<int> ListeningSockets::ports() const {
  std::set<int> out;
  for (const auto& [where, socket] : sockets_) out.insert(where.first);
  return out;
}

std::vector<std::pair<std::string, int>> ListeningSockets::inherited(const ListeningAt& wanted) const {
  std::vector<std::pair<std::string, int>> out;
  for (const auto& [where, socket] : sockets_)
    if (wanted.contains(where)) out.emplace_back(listening_variable(where.first, where.second), socket.get());
  return out;
}

std::string listening_variable(int port, const Place& place) { return fmt::format("LISTEN_{}_{}", port, sha256_hex(place).substr(0, 8)); }

}  // namespace watari::balancer
