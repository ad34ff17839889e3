#include "engine/local/preparation.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/log.h"
#include "base/strings.h"
#include "codec/reflect.h"
#include "engine/volumes.h"
#include "runtime/bundle.h"
#include "runtime/shim_client.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace watari::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMiB = 1024 * 1024;

double milliseconds(std::chrono::steady_clock::duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

std::uint32_t hash_of(std::string_view text) {  // FNV-1a
  std::uint32_t hash = 2166136261U;
  for (unsigned char c : text) hash = (hash ^ c) * 16777619U;
  return hash;
}

Result<void> give_to(const std::string& path, std::int64_t id) {
  if (::chown(path.c_str(), static_cast<uid_t>(id), static_cast<gid_t>(id)) != 0) return sys::fail_errno("change the owner of " + path);
  return {};
}

// Name servers that a task could reach; those on the host's loopback it cannot.
std::string resolver_file() {
  std::string out;
  for (const auto& line : split(sys::read_file("/etc/resolv.conf").value_or(""), '\n')) {
    auto text = trim(line);
    bool server = text.starts_with("nameserver");
    bool loopback = server && (trim(text.substr(10)).starts_with("127.") || trim(text.substr(10)) == "::1");
    if (!text.starts_with("#") && !text.empty() && !loopback) out += std::string(text) + "\n";
  }
  return out;
}

struct Volumes {
  std::vector<runtime::ShimBind> binds;
  std::vector<runtime::BundleMount> mounts;
};

Result<Volumes> volumes_of(Host& host, const TaskSpec& task, const ContainerSpec& container) {
  Volumes out;
  const auto& definition = container.definition;
  for (const auto& point : definition.mounts) {
    auto volume = std::ranges::find_if(task.volumes, [&](const auto& each) { return each.name == point.source_volume; });
    if (volume == task.volumes.end())
      return fail(Code::InvalidArgument, "container {} mounts volume {}, which the task definition does not have", definition.name,
                  point.source_volume);
    runtime::ShimBind bind;
    bind.name = "volume-" + std::to_string(out.binds.size());
    bind.shift_ids = !definition.privileged;
    bind.read_only = point.read_only;
    if (!volume->host_path.empty()) {
      bind.source = volume->host_path;
      // As Docker does for bind mounts of paths that are not there.
      if (!fs::exists(bind.source)) TRY_VOID(sys::make_directories(bind.source));
    } else {
      auto home = volume->shared ? shared_volume(host.paths.root, task.volume_scope, volume->name).string()
                                 : host.paths.disk(task.id) + "/volumes/" + volume->name;
      bind.source = home + "/data";
      bind.ready_file = home + "/ready";
      bind.initial_path = point.container_path;
      TRY_VOID(sys::make_directories(bind.source));
    }
    out.mounts.push_back({runtime::bind_path(host.paths.task(task.id), definition.name, bind.name), point.container_path, point.read_only});
    out.binds.push_back(std::move(bind));
  }
  return out;
}

// What the image declares as volumes stays writable when the root is not, as with Docker; it goes with the task.
Result<void> add_image_volumes(Host& host, const TaskSpec& task, const ContainerSpec& container, const oci::ImageConfig& image, Volumes& out) {
  if (!container.definition.read_only_root) return {};
  for (const auto& path : image.volumes) {
    if (std::ranges::any_of(out.mounts, [&](const auto& mount) { return mount.destination == path; })) continue;
    runtime::ShimBind bind;
    bind.name = "volume-" + std::to_string(out.binds.size());
    bind.shift_ids = !container.definition.privileged;
    auto home = host.paths.layer(task.id, container.definition.name) + "/" + bind.name;
    bind.source = home + "/data";
    bind.ready_file = home + "/ready";
    bind.initial_path = path;
    TRY_VOID(sys::make_directories(bind.source));
    out.mounts.push_back({runtime::bind_path(host.paths.task(task.id), container.definition.name, bind.name), path, false});
    out.binds.push_back(std::move(bind));
  }
  return {};
}

// Upper directory of the overlay, with owner and mode of the image's own root directory.
Result<void> make_writable_layer(const std::string& directory, const std::string& image_root, std::int64_t shift) {
  TRY_VOID(sys::make_directories(directory + "/work"));
  TRY_VOID(sys::make_directories(directory + "/upper"));
  struct stat info{};
  if (::stat(image_root.c_str(), &info) != 0) return sys::fail_errno("look at image layer " + image_root);
  auto upper = directory + "/upper";
  if (::chmod(upper.c_str(), info.st_mode & 07777) != 0) return sys::fail_errno("chmod " + upper);
  if (::chown(upper.c_str(), info.st_uid + static_cast<uid_t>(shift), info.st_gid + static_cast<gid_t>(shift)) != 0)
    return sys::fail_errno("chown " + upper);
  return {};
}

// A daemon without CAP_SYS_RESOURCE (a container itself) can hand on only what it has been given.
std::int64_t open_files_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  rlimit raised{limit.rlim_cur, std::max<rlim_t>(limit.rlim_max, 65535)};
  if (raised.rlim_max > limit.rlim_max && ::setrlimit(RLIMIT_NOFILE, &raised) == 0) return 65535;
  return static_cast<std::int64_t>(std::min<rlim_t>(limit.rlim_max, 65535));
}

// Of ourselves: a privileged container has no user namespace that would give it more.
std::uint64_t permitted_capabilities() {
  for (const auto& line : split(sys::read_file("/proc/self/status").value_or(""), '\n'))
    if (line.starts_with("CapPrm:")) return std::strtoull(line.c_str() + 7, nullptr, 16);
  return 0;
}

// What a privileged container finds in /dev besides the usual.
std::vector<runtime::Device> host_devices() {
  std::vector<runtime::Device> out;
  for (auto* path : {"/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/loop-control", "/dev/vhost-net", "/dev/vsock"}) {
    struct stat info{};
    if (::stat(path, &info) == 0 && S_ISCHR(info.st_mode))
      out.push_back({path, 'c', static_cast<std::int64_t>(major(info.st_rdev)), static_cast<std::int64_t>(minor(info.st_rdev))});
  }
  return out;
}

Result<void> attach_network(Host& host, const TaskSpec& task) {
  {
    // Only the first task of a VPC takes any time here.
    std::lock_guard lock(host.vpc_mutex);
    TRY_VOID(host.network.ensure_vpc(task.network.vpc, task.network.vpc_cidr));
  }
  TRY_VOID(host.network.attach(task.id, task.network));
  return {};
}

}  // namespace

std::int64_t first_id_of(const std::string& task) {
  // Below 2^31, above what people and /etc/subuid usually hand out.
  return (1LL << 20) + (static_cast<std::int64_t>(hash_of(task)) % 30000) * 65536;
}

std::string hosts_file(const TaskSpec& task, const Names& names) {
  std::string out = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
  if (!task.hostname.empty()) out += task.network.address + " " + task.hostname + "\n";
  for (const auto& [name, addresses] : names)
    for (const auto& address : addresses) out += address + " " + name + "\n";
  return out;
}

Result<ReadyImage> ready_image(Host& host, const ContainerSpec& container) {
  auto reference = container.image_digest.empty() ? container.definition.image : container.image_digest;
  ReadyImage out;
  TRY(out.image, host.options.images->resolve(reference));
  TRY(auto directories, host.options.images->layer_directories(out.image));
  for (const auto& directory : directories) out.layers.push_back(directory.string());
  if (out.layers.empty()) return fail(Code::FailedPrecondition, "image {} has no layers", container.definition.image);
  return out;
}

Result<void> launch_shim(Host& host, const TaskSpec& task, const std::function<void()>& attached) {
  const auto& paths = host.paths;
  sys::CgroupLimits limits;
  if (task.memory_mib) limits.memory_bytes = *task.memory_mib * kMiB;
  if (task.cpu_units) limits.cpus = static_cast<double>(*task.cpu_units) / 1024.0;
  TRY_VOID(host.cgroups.create(paths.containers_cgroup(task.id), limits));
  TRY_VOID(host.cgroups.create(paths.shim_cgroup(task.id)));

  auto directory = paths.task(task.id);
  auto first_id = first_id_of(task.id);
  TRY_VOID(sys::make_directories(directory + "/etc"));
  TRY_VOID(sys::write_file(directory + "/etc/resolv.conf", resolver_file()));
  TRY_VOID(sys::write_file(directory + "/etc/hostname", task.hostname + "\n"));
  for (auto* file : {"/etc/hosts", "/etc/resolv.conf", "/etc/hostname"}) TRY_VOID(give_to(directory + file, first_id));

  runtime::ShimSetup setup;
  setup.task = task.id;
  setup.network_namespace = host.network.task_namespace_path(task.id);
  setup.cgroup = paths.shim_cgroup(task.id);
  setup.runtime = host.options.runtime;
  setup.first_id = first_id;
  for (const auto& container : task.containers)
    for (const auto& [name, value] : container.definition.system_controls)
      if (name.starts_with("net.")) setup.sysctls[name] = value;
  TRY_VOID(sys::write_file(runtime::setup_file(directory), codec::to_json(setup).dump(), 0600));
  using Steady = std::chrono::steady_clock;
  auto begin = Steady::now();
  TRY(auto shim, runtime::ShimStart::begin(host.options.shim.string(), directory));
  auto spawned = Steady::now();
  if (auto network = attach_network(host, task); !network)
    return fail(Error{network.error().code, "unable to attach the network: " + network.error().message});
  auto connected = Steady::now();
  attached();
  auto finished = shim.finish();
  log::debug("task {}: shim spawned in {:.1f} ms, network attached in {:.1f} ms, shim ready in {:.1f} ms", task.id, milliseconds(spawned - begin),
             milliseconds(connected - spawned), milliseconds(Steady::now() - connected));
  return finished;
}

Result<runtime::RunRequest> prepare_container(Host& host, const TaskSpec& task, const ContainerSpec& container, const ReadyImage& image) {
  const auto& definition = container.definition;
  const auto& name = definition.name;
  auto directory = host.paths.task(task.id);
  runtime::RunRequest request;
  request.container = name;
  request.runtime_id = fmt::format("{}-{:010}", task.id, hash_of(name));
  request.bundle = host.paths.bundle(task.id, name);
  request.cgroup = host.paths.container_cgroup(task.id, name);
  request.layers = image.layers;
  request.upper = host.paths.layer(task.id, name) + "/upper";
  request.work = host.paths.layer(task.id, name) + "/work";
  request.shift_ids = !definition.privileged;
  request.log_directory = container.log_directory;
  request.open_stdin = definition.interactive;
  request.terminal = definition.pseudo_terminal;
  auto shift = definition.privileged ? 0 : first_id_of(task.id);
  TRY_VOID(make_writable_layer(host.paths.layer(task.id, name), image.layers.back(), shift));

  runtime::BundleInput input;
  input.definition = definition;
  input.image = image.image.config;
  input.secrets = container.secrets;
  auto user = definition.user.empty() ? image.image.config.user : definition.user;
  TRY(input.user, runtime::find_user(user, runtime::read_image_file(image.layers, "etc/passwd"),
                                     runtime::read_image_file(image.layers, "etc/group")));
  input.hostname = definition.hostname.empty() ? task.hostname : definition.hostname;
  input.rootfs = runtime::rootfs_directory(directory, name);
  input.cgroup = request.cgroup;
  input.first_id = shift;
  input.open_files = open_files_limit();
  if (!definition.privileged) {
    TRY(auto caps, runtime::capabilities(definition));
    TRY(input.seccomp, host.seccomp(caps));
  } else {
    input.available_capabilities = permitted_capabilities();
    input.devices = host_devices();
  }
  TRY(auto volumes, volumes_of(host, task, container));
  TRY_VOID(add_image_volumes(host, task, container, image.image.config, volumes));
  for (auto* file : {"/etc/hosts", "/etc/resolv.conf", "/etc/hostname"}) input.mounts.push_back({directory + file, file, false});
  if (definition.linux_parameters && definition.linux_parameters->init_process) {
    volumes.binds.push_back({.source = host.options.shim.string(), .name = "init", .read_only = true, .ready_file = {}, .initial_path = {}});
    input.mounts.push_back({runtime::bind_path(directory, name, "init"), "/dev/init", true});
    input.init_program = "/dev/init";
  }
  input.mounts.insert(input.mounts.end(), volumes.mounts.begin(), volumes.mounts.end());
  request.binds = std::move(volumes.binds);

  TRY(auto config, runtime::make_config(input));
  TRY_VOID(sys::make_directories(request.bundle));
  TRY_VOID(sys::write_file(request.bundle + "/config.json", config.dump(), 0600));
  return request;
}

Result<void> tear_down(Host& host, const std::string& task) {
  TRY_VOID(host.cgroups.kill_all(host.paths.cgroup(task), std::chrono::seconds(10)));
  TRY_VOID(host.cgroups.remove(host.paths.cgroup(task)));
  TRY_VOID(host.network.detach(task));
  TRY_VOID(sys::remove_tree(host.paths.task(task) + "/bundles"));
  return sys::remove_tree(host.paths.task(task) + "/runtime");
}

Result<void> erase(Host& host, const std::string& task) {
  // The disk first: as long as there is a record, recover() knows that something may be left.
  TRY_VOID(sys::remove_tree(host.paths.disk(task)));
  return sys::remove_tree(host.paths.task(task));
}

}  // namespace watari::engine
