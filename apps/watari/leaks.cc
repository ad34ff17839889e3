#include "watari/leaks.h"

#include <unistd.h>

#include <fstream>
#include <iterator>
#include <set>

#include "base/result.h"
#include "base/strings.h"
#include "sys/netns.h"
#include "sys/nftables.h"

namespace watari {
namespace {

namespace fs = std::filesystem;

std::string read_all(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void add_namespaces(const std::string& mark, std::vector<std::string>& found) {
  if (auto names = sys::list_netns(mark))
    for (const auto& name : *names) found.push_back("network namespace " + name);
}

// The alias of a link says which task it belongs to (sys/netlink.h).
void add_links(const std::string& mark, std::vector<std::string>& found) {
  std::error_code ignored;
  for (const auto& link : fs::directory_iterator("/sys/class/net", ignored)) {
    auto name = link.path().filename().string();
    if (name.find(mark) != std::string::npos || read_all(link.path() / "ifalias").find(mark) != std::string::npos)
      found.push_back("network link " + name);
  }
}

void add_mounts(const std::string& mark, std::vector<std::string>& found) {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    auto words = split(line, ' ');
    // Namespaces are mounts too; they are counted once, as namespaces.
    if (words.size() > 4 && words[4].find(mark) != std::string::npos && !words[4].starts_with(sys::kNetnsDirectory))
      found.push_back("mount " + words[4]);
  }
}

void add_cgroups(const std::string& mark, std::vector<std::string>& found) {
  std::error_code ignored;
  for (fs::recursive_directory_iterator at("/sys/fs/cgroup", fs::directory_options::skip_permission_denied, ignored), end;
       at != end; at.increment(ignored)) {
    if (!at->is_directory(ignored) || at->is_symlink(ignored)) continue;
    if (at->path().filename().string().find(mark) == std::string::npos) continue;
    found.push_back("cgroup " + at->path().string());
    at.disable_recursion_pending();
  }
}

void add_tables(const std::string& mark, std::vector<std::string>& found) {
  auto tables = sys::list_nft("tables");
  if (!tables) return;
  for (const auto& line : split(*tables, '\n'))
    if (line.find(mark) != std::string::npos) found.push_back("nftables " + line);
}

// Shims, containers and load balancers name the run directory in their arguments or environment.
void add_processes(const std::string& mark, std::vector<std::string>& found) {
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    auto pid = parse_number<int>(process.path().filename().string());
    if (!pid || *pid == ::getpid()) continue;
    auto arguments = read_all(process.path() / "cmdline");
    bool in_cgroup = read_all(process.path() / "cgroup").find(mark) != std::string::npos;
    if (!in_cgroup && arguments.find(mark) == std::string::npos) continue;
    for (auto& c : arguments)
      if (c == '\0') c = ' ';
    found.push_back(fmt::format("process {}: {}", *pid, trim(arguments.substr(0, 120))));
  }
}

}  // namespace

std::vector<std::string> find_leaks(const std::string& root_id) {
  auto mark = "watari-" + root_id;
  std::vector<std::string> found;
  add_processes(mark, found);
  add_namespaces(mark, found);
  add_links(mark, found);
  add_mounts(mark, found);
  add_cgroups(mark, found);
  add_tables(mark, found);
  if (fs::exists("/run/" + mark)) found.push_back("directory /run/" + mark);
  return found;
}

}  // namespace watari
