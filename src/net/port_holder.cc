#include "net/port_holder.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "base/strings.h"

namespace watari::net {
namespace {

namespace fs = std::filesystem;

// Inodes of the sockets that listen on `port` (state 0A) in one of the kernel's tables.
void add_listening_inodes(const char* table, std::uint16_t port, std::set<std::string>& inodes) {
  std::ifstream in(table);
  std::string line;
  auto suffix = fmt::format(":{:04X}", port);
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    words >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
    if (state == "0A" && local.ends_with(suffix)) inodes.insert("socket:[" + inode + "]");
  }
}

}  // namespace

std::string port_holder(std::uint16_t port) {
  std::set<std::string> inodes;
  add_listening_inodes("/proc/net/tcp", port, inodes);
  add_listening_inodes("/proc/net/tcp6", port, inodes);
  if (inodes.empty()) return {};
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    auto pid = process.path().filename().string();
    if (!parse_number<int>(pid)) continue;
    for (fs::directory_iterator fd(process.path() / "fd", ignored), end; fd != end; fd.increment(ignored)) {
      if (!inodes.contains(fs::read_symlink(fd->path(), ignored).string())) continue;
      std::ifstream comm(process.path() / "comm");
      std::string name;
      std::getline(comm, name);
      return fmt::format("{} (pid {})", name, pid);
    }
  }
  return {};
}

}  // namespace watari::net
