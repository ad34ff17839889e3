#include "watari/leaks.h"

#include <unistd.h>

#include <fstream>
#include <iterator>

#include "base/result.h"
#include "base/strings.h"
#include "engine/leaks.h"

namespace watari {
namespace {

namespace fs = std::filesystem;

std::string read_all(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Load balancers name the run directory in their arguments, containers lie in a cgroup of that name. Shims are the engine's.
void add_processes(const std::string& mark, std::vector<std::string>& found) {
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    auto pid = parse_number<int>(process.path().filename().string());
    if (!pid || *pid == ::getpid()) continue;
    auto arguments = read_all(process.path() / "cmdline");
    if (arguments.substr(0, arguments.find('\0')).ends_with("watari-shim")) continue;
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
  auto found = engine::find_leaks(root_id);
  add_processes(mark, found);
  if (found.empty() && fs::exists("/run/" + mark)) found.push_back("directory /run/" + mark);
  return found;
}

}  // namespace watari
