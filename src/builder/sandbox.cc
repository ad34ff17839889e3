#include "builder/sandbox.h"

#include <fstream>

#include "builder/bundle.h"
#include "builder/layers.h"
#include "sys/mounts.h"

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
  fs::create_directories(options.directory);
  TRY_VOID(sys::mount_tmpfs(options.directory, "mode=0700,size=64m"));
  UnmountAtEnd unmount{options.directory};
  fs::create_directories(options.directory / "state");
  std::ofstream(options.directory / "config.json") << bundle.dump();
  auto before = options.group ? options.group->oom_kills() : 0;
  auto on_start = [&](int pid) -> Result<void> { return options.group ? options.group->add(pid) : Result<void>(); };
  auto code = run_contained({options.runtime, "--root", options.directory / "state", "--log", options.directory / "runtime.log",
                             "--cgroup-manager=disabled", "run", "--bundle", options.directory, "step"},
                            options.timeout, stop, on_line, on_start);
  std::ifstream log(options.directory / "runtime.log");
  for (std::string line; code && std::getline(log, line);) on_line(line);
  if (code && *code != 0 && options.group && options.group->oom_kills() > before)
    return fail(Code::ResourceExhausted, "it needed more than the {} MiB of memory that the build may use; give it more with --memory",
                options.group->limits().memory_bytes >> 20);
  return code;
}

}  // namespace watari::builder
