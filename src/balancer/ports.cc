#include "balancer/ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "balancer/process.h"
#include "base/strings.h"

namespace watari::balancer {

namespace {

std::set<std::string> listening_inodes(int port) {
  std::set<std::string> inodes;
  auto suffix = fmt::format(":{:04X}", port);
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"})
    for (const auto& line : split(read_file(table).value_or(""), '\n')) {
      std::vector<std::string> words;
      for (auto& word : split(line, ' '))
        if (!word.empty()) words.push_back(std::move(word));
      if (words.size() > 9 && words[1].ends_with(suffix) && words[3] == "0A") inodes.insert("socket:[" + words[9] + "]");
    }
  return inodes;
}

std::string holder_of(int port) {
  auto inodes = listening_inodes(port);
  std::error_code error;
  for (const auto& process : std::filesystem::directory_iterator("/proc", error)) {
    auto pid = parse_number<int>(process.path().filename().string());
    if (!pid) continue;
    std::error_code gone;
    for (std::filesystem::directory_iterator fd(process.path() / "fd", gone), end; !gone && fd != end; fd.increment(gone)) {
      auto target = std::filesystem::read_symlink(fd->path(), gone).string();
      if (!gone && inodes.contains(target)) {
        auto name = read_file(process.path() / "comm").value_or("?");
        return fmt::format("{} (process {})", trim(name), *pid);
      }
      gone.clear();
    }
  }
  return "another process";
}

}  // namespace

int bind_tcp(const std::string& address, int port, sys::Fd& out) {
  bool six = address.starts_with("[");
  sys::Fd fd(::socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int result = EINVAL;
  if (six) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    name.sin6_port = htons(static_cast<std::uint16_t>(port));
    if (::inet_pton(AF_INET6, address.substr(1, address.size() - 2).c_str(), &name.sin6_addr) == 1)
      result = ::bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0 ? 0 : errno;
  } else {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(static_cast<std::uint16_t>(port));
    if (::inet_pton(AF_INET, address.c_str(), &name.sin_addr) == 1)
      result = ::bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0 ? 0 : errno;
  }
  if (result == 0) out = std::move(fd);
  return result;
}

std::vector<std::string> bind_addresses(const std::string& address) {
  sys::Fd any;
  if (address == "127.0.0.1" && bind_tcp("[::1]", 0, any) == 0) return {address, "[::1]"};
  if (address.contains(':') && !address.starts_with("[")) return {"[" + address + "]"};
  return {address};
}

Result<void> port_is_free(const std::vector<std::string>& addresses, int port) {
  for (const auto& address : addresses) {
    sys::Fd socket;
    int error = bind_tcp(address, port, socket);
    if (error == EADDRINUSE)
      return fail(Code::AlreadyExists, "port {} on {} is held by {}; stop it or choose another listener port", port, address,
                  holder_of(port));
    if (error == EACCES) return fail(Code::PermissionDenied, "port {} needs root (ports below 1024 do)", port);
    if (error != 0) return fail(Code::InvalidArgument, "cannot listen on {} port {}: {}", address, port, std::strerror(error));
  }
  return {};
}

}  // namespace watari::balancer
