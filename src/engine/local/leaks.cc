#include "engine/leaks.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/strings.h"
#include "sys/cgroup.h"
#include "sys/files.h"
#include "sys/mounts.h"
#include "sys/netlink.h"
#include "sys/netns.h"
#include "sys/nftables.h"

namespace watari::engine {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> shims(const std::string& run_directory) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    auto pid = parse_number<int>(it->path().filename().string());
    if (!pid) continue;
    auto words = split(sys::read_file(it->path().string() + "/cmdline").value_or(""), '\0');
    if (words.size() >= 2 && words[0].ends_with("watari-shim") && words[1].starts_with(run_directory + "/"))
      out.push_back("process " + std::to_string(*pid) + " is the shim of task " + fs::path(words[1]).filename().string());
  }
  return out;
}

}  // namespace

std::vector<std::string> find_leaks(const std::string& root_id) {
  std::vector<std::string> out;
  auto name = "watari-" + root_id;
  for (const auto& space : sys::list_netns(name + "-").value_or(std::vector<std::string>{}))
    out.push_back("network namespace " + space);
  for (const auto& mount : sys::list_mounts().value_or(std::vector<sys::MountEntry>{}))
    if (mount.target.contains("/" + name) && !mount.target.starts_with(sys::kNetnsDirectory))
      out.push_back("mount " + mount.target + " (" + mount.type + ")");
  if (auto cgroups = sys::Cgroups::detect())
    for (const auto& group : cgroups->children(""))
      if (group == name) out.push_back("control group " + group);
  std::ranges::move(shims("/run/" + name), std::back_inserter(out));
  if (auto tables = sys::list_nft("tables"))
    for (const auto& line : split(*tables, '\n'))
      if (line.ends_with(" " + name)) out.push_back("firewall " + line);
  if (auto netlink = sys::Netlink::open())
    for (const auto& link : netlink->links().value_or(std::vector<std::string>{}))
      if (link.starts_with("w" + root_id + "-")) out.push_back("network link " + link);
  std::error_code error;
  if (fs::exists("/run/" + name + "/tasks", error)) out.push_back("directory /run/" + name + "/tasks");
  return out;
}

}  // namespace watari::engine
