// RUN: the command, its environment and its mounts.
#include <sys/stat.h>

#include <fstream>
#include <list>
#include <mutex>

#include "base/digest.h"
#include "base/strings.h"
#include "builder/stage_build.h"

namespace watari::builder {

namespace fs = std::filesystem;
using codec::Json;

namespace {

constexpr std::string_view kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::string_view kScript = "/dev/.build-script";

// A cache mount with sharing=locked is held by one step of this server at a time.
std::mutex& lock_of(const std::string& id) {
  static std::mutex guard;
  static std::map<std::string, std::mutex> locks;
  std::lock_guard hold(guard);
  return locks[id];
}

}  // namespace

struct StageBuild::Mounts {
  std::vector<Bind> binds;
  std::vector<std::string> tmpfs, targets;
  std::vector<std::string> file_targets;
  std::list<MountedLayers> views;
  std::vector<std::unique_lock<std::mutex>> locks;
  Json description = Json::array();
};

Variables StageBuild::run_environment(bool for_key) const {
  Variables env = state_.args;
  if (!for_key) {
    for (const auto& [name, value] : shared_.plan.given)
      if (is_predefined_arg(name)) env[name] = value;
  } else {
    std::erase_if(env, [](const auto& pair) { return is_predefined_arg(pair.first); });
  }
  for (const auto& pair : state_.config.env) {
    auto equals = pair.find('=');
    env[pair.substr(0, equals)] = equals == std::string::npos ? "" : pair.substr(equals + 1);
  }
  env.try_emplace("PATH", kPath);
  return env;
}

// A lone here-document is the script itself; with #! it names its own interpreter.
std::vector<std::string> StageBuild::run_argv(const Instruction& instruction, const fs::path& scratch, std::vector<Bind>& binds) {
  if (instruction.exec_form) return instruction.words;
  auto argv = state_.config.shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : state_.config.shell;
  bool lone = instruction.heredocs.size() == 1 && instruction.words.size() == 1;
  if (lone && instruction.heredocs[0].content.starts_with("#!")) {
    auto script = scratch / "script";
    std::ofstream(script, std::ios::binary) << instruction.heredocs[0].content;
    fs::permissions(script, fs::perms(0755));
    binds.push_back({script, std::string(kScript), true});
    return {std::string(kScript)};
  }
  auto text = lone ? instruction.heredocs[0].content : instruction.text;
  if (!lone)
    for (const auto& document : instruction.heredocs) text += "\n" + document.content + document.name;
  argv.push_back(text);
  return argv;
}

Result<void> StageBuild::prepare_bind(const RunMount& wanted, const fs::path& scratch, Mounts& mounts) {
  if (!wanted.read_only)
    return fail(Code::InvalidArgument, "--mount=type=bind with rw is not supported; copy the files with COPY, or use a cache mount");
  fs::path root = shared_.context;
  if (!wanted.from.empty()) {
    auto mounted = view(layers_of(stage_.origins.at(wanted.from)));
    if (!mounted) return fail(mounted.error());
    mounts.views.push_back(std::move(*mounted));
    root = mounts.views.back().root();
  }
  TRY(auto path, expanded(wanted.source));
  TRY(auto real, resolve_in_root(root, clean_path(path)));
  auto source = real.empty() ? root : root / real;
  bool directory = fs::is_directory(source);
  TRY(auto files, describe_sources({Source{source, "file", directory}}, !wanted.from.empty(), shared_.stop));
  auto target = in_workdir(wanted.target);
  mounts.binds.push_back({source, target, true});
  (directory ? mounts.targets : mounts.file_targets).push_back(target);
  mounts.description.push(Json::object({{"bind", Json(target)}, {"files", std::move(files)}}));
  (void)scratch;
  return {};
}

Result<void> StageBuild::prepare_mounts(const std::vector<RunMount>& wanted, const fs::path& scratch, Mounts& mounts) {
  for (const auto& mount : wanted) {
    auto target = in_workdir(mount.target);
    if (mount.type == RunMount::Type::Bind) {
      TRY_VOID(prepare_bind(mount, scratch, mounts));
    } else if (mount.type == RunMount::Type::Tmpfs) {
      mounts.tmpfs.push_back(target);
      mounts.targets.push_back(target);
      mounts.description.push(Json::object({{"tmpfs", Json(target)}}));
    } else {
      auto directory = shared_.cache_mounts / sha256_hex(mount.id).substr(0, 32);
      if (fs::create_directories(directory)) {
        fs::permissions(directory, fs::perms(mount.mode));
        if (::chown(directory.c_str(), mount.uid, mount.gid) != 0) return sys::fail_errno("set owner of a cache mount");
      }
      if (mount.locked) mounts.locks.emplace_back(lock_of(mount.id));
      mounts.binds.push_back({directory, target, mount.read_only});
      mounts.targets.push_back(target);
      mounts.description.push(Json::object({{"cache", Json(target)}, {"id", Json(mount.id)}}));
    }
  }
  return {};
}

Result<void> StageBuild::run_command(const Instruction& instruction) {
  auto network = instruction.flag("network") ? instruction.flag("network")->value : "default";
  if (network != "default" && network != "host" && network != "none")
    return fail(Code::InvalidArgument, "--network={} is not known; expected default, host or none", network);
  if (const Flag* security = instruction.flag("security"); security && security->value != "sandbox")
    return fail(Code::InvalidArgument, "--security={} is not supported; steps run without privileges", security->value);
  auto scratch = new_scratch();
  Mounts mounts;
  TRY(auto wanted, run_mounts_of(instruction));
  TRY_VOID(prepare_mounts(wanted, scratch, mounts));

  SandboxOptions options;
  options.runtime = shared_.runtime;
  options.directory = scratch / "bundle";
  options.argv = run_argv(instruction, scratch, mounts.binds);
  options.cwd = state_.config.working_dir.empty() ? "/" : state_.config.working_dir;
  options.network = network != "none";
  options.binds = mounts.binds;
  options.tmpfs = mounts.tmpfs;
  options.timeout = shared_.step_timeout;

  auto in = inputs("RUN");
  auto command = Json::array();
  for (const auto& word : instruction.exec_form || instruction.heredocs.empty() ? options.argv : std::vector{instruction.source})
    command.push(Json(word));
  for (const auto& document : instruction.heredocs) command.push(Json(document.content));
  auto environment = Json::object();
  for (const auto& [name, value] : run_environment(true)) environment.set(name, Json(value));
  in.set("command", std::move(command)).set("environment", std::move(environment));
  in.set("directory", Json(options.cwd)).set("user", Json(state_.config.user)).set("mounts", mounts.description);

  auto directories = sandbox_directories();
  std::ranges::copy(mounts.targets, std::back_inserter(directories));
  auto files = sandbox_files();
  std::ranges::copy(mounts.file_targets, std::back_inserter(files));
  auto done = layer_step({instruction, std::move(in), [&](const fs::path& root) -> Result<void> {
    options.root = root;
    TRY(options.user, find_user(root, state_.config.user));
    auto env = run_environment(false);
    env.try_emplace("HOME", options.user.home);
    for (const auto& [name, value] : env) options.env.push_back(name + "=" + value);
    TRY(int code, run_in_sandbox(options, shared_.stop, [&](std::string_view line) { shared_.observer.line(number_, line); }));
    if (code != 0) return fail(Code::FailedPrecondition, "the command ended with exit code {}", code);
    return {};
  }, directories, files});
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  return done;
}

}  // namespace watari::builder
