// RUN --mount: making what the step sees besides its root.
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "base/digest.h"
#include "base/strings.h"
#include "builder/cache_mounts.h"
#include "builder/run_step.h"
#include "sys/mounts.h"

namespace watari::builder {

namespace fs = std::filesystem;
using codec::Json;

namespace {

constexpr std::string_view kAgentSocket = "/run/buildkit/ssh_agent.0";
constexpr std::string_view kDockerConfig = "/run/watari/docker";

// One lock for every cache directory of this process.
std::mutex& lock_of(const std::string& name) {
  static std::mutex guard;
  static std::map<std::string, std::mutex> locks;
  std::lock_guard hold(guard);
  return locks[name];
}

// shared: no lock; locked: waits; private: takes the first directory that nobody uses.
// `filling` tells what a cache begins with: caches of one id that begin otherwise are others.
std::string take_cache(const RunMount& mount, const std::string& filling, std::vector<std::unique_lock<std::mutex>>& locks) {
  auto name = sha256_hex(mount.id + (filling.empty() ? "" : "\n" + filling)).substr(0, 32);
  if (mount.sharing == RunMount::Sharing::Locked) locks.emplace_back(lock_of(name));
  if (mount.sharing != RunMount::Sharing::Private) return name;
  for (int number = 0;; ++number) {
    auto candidate = number == 0 ? name : fmt::format("{}-{}", name, number);
    std::unique_lock lock(lock_of(candidate), std::try_to_lock);
    if (!lock) continue;
    locks.push_back(std::move(lock));
    return candidate;
  }
}

}  // namespace

std::string StageBuild::place_of(const RunMount& mount) const { return "/" + clean_path(in_workdir(mount.target)); }

// Writes go to a layer of the step's own, which is thrown away.
Result<void> StageBuild::prepare_bind(const RunMount& wanted, const fs::path& scratch, Mounts& mounts) {
  TRY(auto root, origin_root(wanted.from, mounts.views));
  auto real = resolve_in_root(root, clean_path(wanted.source));
  if (!real) return fail(Code::NotFound, "--mount source={}: no such file in {}", wanted.source, wanted.from.empty() ? "the context" : wanted.from);
  auto source = real->empty() ? root : root / *real;
  bool directory = fs::is_directory(source);
  TRY(auto files, describe_sources({Source{source, "file", directory}}, !wanted.from.empty(), shared_.stop, shared_.contexts));
  auto target = place_of(wanted);
  mounts.description.push(Json::object({{"bind", Json(target)}, {"files", std::move(files)}, {"writable", Json(!wanted.read_only)}}));
  (directory ? mounts.targets : mounts.file_targets).push_back(target);
  if (!wanted.read_only && directory) {
    auto own = scratch / fmt::format("writable-{}", mounts.binds.size());
    for (const auto* part : {"upper", "work", "mount"}) fs::create_directories(own / part);
    TRY(auto mounted, MountedLayers::mount({.lower = {source}, .scratch = own / "mount", .skeletons = skeletons(), .upper = own / "upper", .work = own / "work"}));
    mounts.views.push_back(std::move(mounted));
    source = mounts.views.back().root();
  } else if (!wanted.read_only) {
    fs::create_directories(scratch);
    auto copy = scratch / fmt::format("writable-{}", mounts.binds.size());
    TRY_VOID(copy_sources({Source{source, "file", false}}, {scratch, scratch}, {.destination = "/" + copy.filename().string()}, shared_.stop));
    source = copy;
  }
  mounts.binds.push_back({source, target, wanted.read_only});
  return {};
}

// A new cache begins as a copy of what `from` and `source` name, else empty; it appears whole.
Result<void> StageBuild::prepare_cache(const RunMount& wanted, Mounts& mounts) {
  std::string filling;
  if (wanted.from.empty() && (wanted.owned || wanted.mode)) {
    filling = fmt::format("{:o} {}:{}", wanted.mode.value_or(0755), wanted.uid, wanted.gid);
  } else if (!wanted.from.empty()) {
    const auto& origin = stage_.origins.at(wanted.from);
    filling = wanted.source + "\n" + origin.directory.string();
    if (origin.directory.empty())
      for (const auto& layer : layers_of(origin)) filling += "\n" + layer.diff_id;
  }
  auto directory = shared_.cache_mounts / take_cache(wanted, filling, mounts.locks);
  mounts.caches.emplace_back(directory);  // before it is looked for: it is not collected from here on
  std::lock_guard lock(cache_mounts_mutex());
  if (!fs::exists(directory)) {
    auto fresh = fs::path(directory.string() + ".new");
    fs::remove_all(fresh);
    fs::create_directories(fresh);
    fs::permissions(fresh, fs::perms(wanted.mode.value_or(0755)));
    if (!wanted.from.empty()) {
      TRY(auto root, origin_root(wanted.from, mounts.views));
      TRY(auto real, resolve_in_root(root, clean_path(wanted.source)));
      TRY_VOID(copy_sources({Source{real.empty() ? root : root / real, "", true}}, {fresh, fresh}, {.destination = "/"}, shared_.stop));
    }
    if (::chown(fresh.c_str(), wanted.uid, wanted.gid) != 0) return sys::fail_errno("set owner of a cache mount");
    std::ofstream(shared_.cache_mounts / (directory.filename().string() + ".id")) << wanted.id;
    fs::rename(fresh, directory);
  }
  auto target = place_of(wanted);
  mounts.binds.push_back({directory, target, wanted.read_only});
  mounts.targets.push_back(target);
  mounts.description.push(Json::object({{"cache", Json(target)}, {"id", Json(wanted.id)}}));
  return {};
}

Result<void> StageBuild::prepare_secret(const RunMount& wanted, Mounts& mounts) {
  auto target = wanted.target.empty() ? "" : place_of(wanted);
  mounts.description.push(Json::object({{"secret", Json(wanted.id)}, {"target", Json(target)}, {"env", Json(wanted.env.value_or(""))}}));
  auto found = shared_.secrets.values.find(wanted.id);
  if (found == shared_.secrets.values.end()) {
    if (!wanted.required) return {};
    return fail(Code::InvalidArgument, "the secret {} is required; give it with --secret id={},src=FILE or --secret id={},env=NAME", wanted.id, wanted.id, wanted.id);
  }
  const auto& value = found->second;
  for (const auto& line : split(value, '\n'))
    if (trim(line).size() >= 3) mounts.hidden.emplace_back(trim(line));
  std::ranges::sort(mounts.hidden, std::greater{}, &std::string::size);
  if (wanted.env) mounts.environment[*wanted.env] = value;
  if (target.empty()) return {};
  mounts.secrets.emplace_back(wanted, value);
  mounts.file_targets.push_back(target);
  return {};
}

Result<void> StageBuild::prepare_agent(const RunMount& wanted, Mounts& mounts) {
  auto target = wanted.target.empty() ? std::string(kAgentSocket) : place_of(wanted);
  mounts.description.push(Json::object({{"ssh", Json(wanted.id)}, {"target", Json(target)}}));
  auto found = shared_.secrets.agents.find(wanted.id);
  if (found == shared_.secrets.agents.end()) {
    if (!wanted.required) return {};
    return fail(Code::InvalidArgument, "the ssh agent {} is required; give it with --ssh {}", wanted.id, wanted.id);
  }
  mounts.agents.emplace_back(wanted, found->second);
  mounts.agents.back().first.target = target;
  mounts.environment["SSH_AUTH_SOCK"] = target;
  mounts.file_targets.push_back(target);
  return {};
}

// `docker login` writes there, for this step.
void StageBuild::prepare_docker(Mounts& mounts) {
  const auto& secrets = shared_.secrets;
  if (secrets.docker_host.empty()) return;
  mounts.environment["DOCKER_HOST"] = secrets.docker_host;
  mounts.environment["DOCKER_CONFIG"] = kDockerConfig;
  mounts.targets.emplace_back(kDockerConfig);
  mounts.description.push(Json::object({{"docker", Json(true)}}));
  auto config = codec::parse_json(secrets.docker_config);
  for (const auto& [name, value] : config ? (*config)["HttpHeaders"].as_object() : Json::Object()) mounts.hidden.push_back(value.as_string().substr(value.as_string().rfind(' ') + 1));
}

Result<void> StageBuild::prepare_mounts(const std::vector<RunMount>& wanted, const fs::path& scratch, Mounts& mounts) {
  prepare_docker(mounts);
  for (const auto& mount : wanted) {
    auto target = place_of(mount);
    if (!mount.target.empty() && clean_path(target).empty()) return fail(Code::InvalidArgument, "--mount target={} is the root; expected a path below it", mount.target);
    switch (mount.type) {
      case RunMount::Type::Bind: TRY_VOID(prepare_bind(mount, scratch, mounts)); break;
      case RunMount::Type::Cache: TRY_VOID(prepare_cache(mount, mounts)); break;
      case RunMount::Type::Secret: TRY_VOID(prepare_secret(mount, mounts)); break;
      case RunMount::Type::Ssh: TRY_VOID(prepare_agent(mount, mounts)); break;
      case RunMount::Type::Tmpfs:
        mounts.tmpfs.push_back({target, mount.size});
        mounts.targets.push_back(target);
        mounts.description.push(Json::object({{"tmpfs", Json(target)}}));
    }
  }
  return {};
}

// Secrets and agents' sockets on a tmpfs that only this thread and its step see. Unmounted with the thread's namespace.
Result<void> StageBuild::mount_private(const fs::path& scratch, Mounts& mounts) {
  const auto& secrets = shared_.secrets;
  bool docker = !secrets.docker_host.empty();
  if (mounts.secrets.empty() && mounts.agents.empty() && !docker) return {};
  auto directory = scratch / "private";
  fs::create_directories(directory);
  TRY_VOID(sys::mount_tmpfs(directory, "mode=0755,size=16m"));
  mounts.private_files.target = directory;
  int number = 0;
  for (const auto& [wanted, value] : mounts.secrets) {
    auto file = directory / std::to_string(number++);
    std::ofstream(file, std::ios::binary) << value;
    if (::chmod(file.c_str(), wanted.mode.value_or(0400)) != 0 || ::chown(file.c_str(), wanted.uid, wanted.gid) != 0)
      return sys::fail_errno("prepare a secret");
    mounts.binds.push_back({file, place_of(wanted), true});
  }
  if (docker) {
    fs::create_directory(directory / "docker");
    std::ofstream(directory / "docker" / "config.json", std::ios::binary) << secrets.docker_config;
    mounts.binds.push_back({directory / "docker", std::string(kDockerConfig), false});
  }
  for (const auto& [wanted, agent] : mounts.agents) {
    auto socket = directory / std::to_string(number++);
    TRY(auto proxy, AgentProxy::start(socket, agent, {wanted.uid, wanted.gid}, wanted.mode.value_or(0600)));
    mounts.proxies.push_back(std::move(proxy));
    mounts.binds.push_back({socket, wanted.target, true});
  }
  return {};
}

}  // namespace watari::builder
