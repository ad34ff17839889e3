// RUN: the command and its environment. What is mounted for it: run_mounts.cc.
#include "builder/run_step.h"

#include <algorithm>
#include <fstream>

#include "base/strings.h"

namespace watari::builder {

namespace fs = std::filesystem;
using codec::Json;

namespace {
constexpr std::string_view kScripts = "/dev/pipes/";  // as with BuildKit: a script may ask for its name
constexpr std::uintmax_t kFull = 1 << 20;                // bytes left of the disk
}  // namespace

Variables StageBuild::run_environment(bool for_key) const {
  Variables env = state_.variables;
  if (for_key) {
    std::erase_if(env, [](const auto& pair) { return is_predefined_arg(pair.first); });
    return env;
  }
  for (const auto& [name, value] : shared_.plan.given)
    if (is_predefined_arg(name)) env[name] = value;
  return env;
}

// A lone here-document is the script itself; with #! it names its own interpreter.
std::vector<std::string> StageBuild::run_argv(const Instruction& instruction, const fs::path& scratch, std::vector<Bind>& binds) {
  if (instruction.exec_form) return instruction.words;
  auto argv = state_.config.shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : state_.config.shell;
  bool lone = instruction.heredocs.size() == 1 && instruction.words.size() == 1;
  if (lone && instruction.heredocs[0].content.starts_with("#!")) {
    fs::create_directories(scratch);
    auto script = scratch / "script";
    std::ofstream(script, std::ios::binary) << instruction.heredocs[0].content;
    fs::permissions(script, fs::perms(0755));
    auto place = std::string(kScripts) + fs::path(instruction.heredocs[0].name).filename().string();
    binds.push_back({script, place, true});
    return {place};
  }
  auto text = lone ? instruction.heredocs[0].content : instruction.text;
  if (!lone)
    for (const auto& document : instruction.heredocs) text += "\n" + document.content + document.name;
  argv.push_back(text);
  return argv;
}

Json StageBuild::run_inputs(const Instruction& instruction, const SandboxOptions& options, const Mounts& mounts) {
  auto in = inputs("RUN");
  auto command = Json::array();
  for (const auto& word : options.argv) command.push(Json(word));
  for (const auto& document : instruction.heredocs) command.push(Json(document.content));
  auto environment = Json::object();
  for (const auto& [name, value] : run_environment(true)) environment.set(name, Json(value));
  in.set("command", std::move(command)).set("environment", std::move(environment));
  in.set("directory", Json(options.cwd)).set("user", Json(state_.config.user)).set("mounts", mounts.description);
  if (!options.network) in.set("network", Json("none"));
  return in;
}

Result<void> StageBuild::run_in(const fs::path& root, SandboxOptions& options, const Mounts& mounts) {
  options.root = root;
  TRY(options.user, find_user(root, state_.config.user));
  auto env = run_environment(false);
  env.try_emplace("HOME", options.user.home);
  for (const auto& [name, value] : mounts.environment) env[name] = value;
  for (const auto& [name, value] : env) options.env.push_back(name + "=" + value);
  // A secret that a command prints is not kept: neither its lines nor the whole.
  auto on_line = [&](std::string_view line) {
    std::string text(line);
    for (const auto& value : mounts.hidden) text = replaced_all(std::move(text), value, "***");
    shared_.observer.line(number_, text);
  };
  TRY(int code, run_in_sandbox(options, shared_.stop, on_line));
  if (code == 0) return {};
  // What the command said of it could not be written to the build's log.
  std::error_code unknown;
  const auto space = fs::space(root, unknown);
  const bool full = !unknown && space.available < kFull;
  return fail(Code::FailedPrecondition, "the command ended with exit code {}{}", code, full ? "; the server's disk is full, free space (`watari images prune`)" : "");
}

Result<void> StageBuild::run_command(const Instruction& instruction) {
  const Flag* wanted_network = instruction.flag("network");
  auto network = wanted_network ? wanted_network->value : "default";
  if (network != "default" && network != "host" && network != "none")
    return fail(Code::InvalidArgument, "--network={} is not known; expected default, host or none", network);
  const Flag* security = instruction.flag("security");
  if (security && security->value != "sandbox")
    return fail(Code::InvalidArgument, "--security={} is not supported: steps run without privileges; expected sandbox", security->value);
  auto scratch = new_scratch();
  RemoveAtEnd remove{scratch};
  Mounts mounts;
  TRY(auto wanted, run_mounts_of(instruction, [this](const std::string& word) { return expanded(word); }));
  TRY_VOID(prepare_mounts(wanted, scratch, mounts));

  SandboxOptions options;
  options.runtime = shared_.runtime;
  options.directory = scratch / "bundle";
  options.argv = run_argv(instruction, scratch, mounts.binds);
  options.cwd = state_.config.working_dir.empty() ? "/" : state_.config.working_dir;
  options.network = network != "none";
  options.group = &shared_.group;
  options.timeout = shared_.group.limits().timeout;

  auto directories = sandbox_directories();
  std::ranges::copy(mounts.targets, std::back_inserter(directories));
  auto files = sandbox_files();
  std::ranges::copy(mounts.file_targets, std::back_inserter(files));
  return layer_step({.instruction = instruction, .inputs = run_inputs(instruction, options, mounts), .make = [&](const fs::path& root, const fs::path&) -> Result<void> {
    TRY_VOID(mount_private(scratch, mounts));
    for (const auto& cache : mounts.caches) TRY_VOID(cache.note_writing());
    options.binds = mounts.binds;
    options.tmpfs = mounts.tmpfs;
    return run_in(root, options, mounts);
  }, .directories = directories, .files = files});
}

}  // namespace watari::builder
