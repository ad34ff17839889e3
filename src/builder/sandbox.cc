#include "builder/sandbox.h"

#include <fstream>

#include "builder/bundle.h"

namespace watari::builder {

namespace fs = std::filesystem;

const std::vector<std::string>& sandbox_directories() {
  static const std::vector<std::string> list{"/proc", "/dev", "/sys", "/etc"};
  return list;
}
const std::vector<std::string>& sandbox_files() {
  static const std::vector<std::string> list{"/etc/resolv.conf", "/etc/hosts"};
  return list;
}

Result<int> run_in_sandbox(const SandboxOptions& options, const StopSignal& stop, const OnLine& on_line) {
  TRY(auto bundle, make_bundle(options));
  fs::create_directories(options.directory / "state");
  std::ofstream(options.directory / "config.json") << bundle.dump();
  auto code = run_contained({options.runtime, "--root", options.directory / "state", "--log", options.directory / "runtime.log",
                             "--cgroup-manager=disabled", "run", "--bundle", options.directory, "step"},
                            options.timeout, stop, on_line);
  std::ifstream log(options.directory / "runtime.log");
  for (std::string line; code && std::getline(log, line);) on_line(line);
  return code;
}

}  // namespace watari::builder
