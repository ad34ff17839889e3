#include "engine/local/local_engine.h"

#include <linux/magic.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "codec/reflect.h"
#include "engine/local/task_run.h"
#include "engine/local/terminal.h"
#include "engine/sessions.h"
#include "sys/files.h"
#include "sys/mounts.h"

namespace watari::engine {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> entries(const std::string& directory) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    if (it->is_directory(error)) out.push_back(it->path().filename().string());
  return out;
}

Result<TaskRecord> read_record(const std::string& path) {
  TRY(auto text, sys::read_file(path));
  TRY(auto json, codec::parse_json(text));
  return codec::from_json<TaskRecord>(json);
}

class LocalEngine final : public Engine, public Terminals {
 public:
  explicit LocalEngine(std::unique_ptr<Host> host) : host_(std::move(host)) { host_->loop.start(); }

  ~LocalEngine() override {
    sessions_.stop();
    host_->loop.call([&] {
      for (auto& [id, task] : tasks_) task->release();
    });
    host_->wait_for_work();
    host_->loop.stop();
  }

  Result<std::vector<model::TaskStatus>> recover(Observer observer) override {
    return host_->loop.call([&]() -> Result<std::vector<model::TaskStatus>> {
      host_->observer = std::move(observer);
      find_tasks();
      find_tasks_of_before_the_reboot();
      TRY_VOID(remove_strays());
      std::vector<model::TaskStatus> out;
      for (auto& [id, task] : tasks_) {
        task->resume();
        out.push_back(task->status());
      }
      return out;
    });
  }

  void run(TaskSpec spec) override {
    host_->loop.post([this, spec = std::move(spec)]() mutable {
      auto& task = tasks_[spec.id];
      if (task) return;
      task = std::make_shared<TaskRun>(*host_, std::move(spec));
      task->start();
    });
  }

  void stop(const std::string& id, std::string code, std::string reason) override {
    host_->loop.post([this, id, code = std::move(code), reason = std::move(reason)] {
      if (auto task = tasks_.find(id); task != tasks_.end()) task->second->stop(code, reason);
    });
  }

  void forget(const std::string& id) override {
    host_->loop.post([this, id] {
      auto task = tasks_.find(id);
      if (task == tasks_.end() || !task->second->stopped()) return;
      tasks_.erase(task);
      host_->work([this, id] {
        if (auto erased = erase(*host_, id); !erased) log::warn("task {}: {}", id, erased.error().message);
      });
    });
  }

  void set_names(const std::string& vpc, const std::string& names_namespace,
                 const std::map<std::string, std::vector<std::string>>& names) override {
    host_->loop.post([this, place = std::pair(vpc, names_namespace), names] {
      host_->names[place] = names;
      for (auto& [id, task] : tasks_)
        if (task->names_place() == place && !task->stopped()) task->write_hosts();
    });
  }

  void set_security(const std::string& vpc, const std::vector<model::SecurityGroup>& groups,
                    const std::map<std::string, std::vector<std::string>>& groups_of_address) override {
    std::lock_guard lock(security_mutex_);
    security_[vpc] = {groups, groups_of_address};
    // One job at a time for a VPC; it takes the newest rules that it finds.
    if (!security_busy_.insert(vpc).second) return;
    host_->work([this, vpc] { apply_security(vpc); });
  }

  Result<ExecResult> exec(const std::string& id, const std::string& container, const std::vector<std::string>& argv,
                          Seconds timeout) override {
    TRY(auto shim, shim_of(id));
    runtime::ExecRequest request{container, argv, Millis(timeout).count(), ""};
    TRY(auto reply, shim->ask("exec", codec::to_json(request), Millis(timeout) + std::chrono::seconds(10)));
    TRY(auto done, codec::from_json<runtime::ExecReply>(reply));
    if (done.timed_out) return fail(Code::DeadlineExceeded, "the command in container {} did not end within {} s", container, timeout.count());
    return ExecResult{done.exit_code, std::move(done.output)};
  }

  Result<sys::Fd> open_terminal(const std::string& id, const std::string& container, const std::vector<std::string>& argv,
                                std::function<void(int)> ended) override {
    TRY(auto shim, shim_of(id));
    return engine::open_terminal(*shim, host_->paths.task(id), {container, argv, 0, ""}, std::move(ended));
  }

  Sessions& sessions() override { return sessions_; }

  Result<std::string> vpc_namespace(const std::string& vpc, const std::string& cidr) override {
    std::lock_guard lock(host_->vpc_mutex);
    return host_->network.ensure_vpc(vpc, cidr);
  }

  std::optional<TaskUsage> usage(const std::string& task) const override {
    auto seen = host_->cgroups.usage(host_->paths.containers_cgroup(task));
    if (!seen) return std::nullopt;
    return TaskUsage{seen->cpu_ns, seen->memory_bytes};
  }

  void stop_all() override {
    host_->loop.call([&] {
      for (auto& [id, task] : tasks_) task->stop("UserInitiated", "The server stops everything (--stop-all)");
    });
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(150);
    while (std::chrono::steady_clock::now() < deadline &&
           !host_->loop.call([&] { return std::ranges::all_of(tasks_, [](const auto& each) { return each.second->stopped(); }); }))
      std::this_thread::sleep_for(Millis(20));
    host_->loop.call([&] {
      for (auto& [id, task] : tasks_) task->release();
      tasks_.clear();
    });
    host_->wait_for_work();
    raze();
  }

 private:
  struct Security {
    std::vector<model::SecurityGroup> groups;
    std::map<std::string, std::vector<std::string>> groups_of_address;
  };

  Result<std::shared_ptr<runtime::ShimClient>> shim_of(const std::string& id) {
    auto shim = host_->loop.call([&] {
      auto task = tasks_.find(id);
      return task == tasks_.end() ? nullptr : task->second->shim();
    });
    if (!shim) return fail(Code::FailedPrecondition, "task {} does not run here", id);
    return shim;
  }

  void find_tasks() {
    for (const auto& id : entries(host_->paths.tasks())) {
      auto record = read_record(host_->paths.record(id));
      if (record) {
        tasks_[id] = std::make_shared<TaskRun>(*host_, *std::move(record));
        continue;
      }
      // Killed before its record was there, or while it was being forgotten: nobody was told that it exists, or that it still does.
      log::info("task {}: removing what is left ({})", id, record.error().message);
      auto removed = tear_down(*host_, id);
      if (removed) removed = erase(*host_, id);
      if (!removed) log::error("task {}: {}", id, removed.error().message);
    }
  }

  // A writable layer without a record on tmpfs.
  void find_tasks_of_before_the_reboot() {
    for (const auto& id : entries(host_->paths.disks())) {
      if (tasks_.contains(id)) continue;
      TaskRecord record;
      record.spec.id = record.status.task = id;
      record.stop_wanted = true;
      record.status.state = model::TaskState::Stopped;
      record.stop_code = record.status.stop_code = "EssentialContainerExited";
      record.stop_reason = record.status.stop_reason = "The host was restarted";
      record.status.stopped_at = host_->clock.now();
      tasks_[id] = std::make_shared<TaskRun>(*host_, std::move(record));
    }
  }

  // Namespaces and control groups of tasks that are not known, or have stopped.
  Result<void> remove_strays() {
    TRY(auto network, host_->network.list());
    std::set<std::string> strays(network.tasks.begin(), network.tasks.end());
    for (const auto& id : host_->cgroups.children(host_->paths.root_cgroup())) strays.insert(id);
    for (const auto& id : strays) {
      auto known = tasks_.find(id);
      if (known != tasks_.end() && !known->second->stopped()) continue;
      if (auto removed = tear_down(*host_, id); !removed) log::error("task {}: {}", id, removed.error().message);
    }
    return {};
  }

  void apply_security(const std::string& vpc) {
    for (;;) {
      Security wanted;
      {
        std::lock_guard lock(security_mutex_);
        auto found = security_.extract(vpc);
        if (found.empty()) {
          security_busy_.erase(vpc);
          return;
        }
        wanted = std::move(found.mapped());
      }
      std::lock_guard lock(host_->vpc_mutex);
      if (auto set = host_->network.set_security(vpc, wanted.groups, wanted.groups_of_address); !set)
        log::error("security groups of VPC {}: {}", vpc, set.error().message);
    }
  }

  void raze() {
    auto check = [](const Result<void>& done) {
      if (!done) log::error("stop all: {}", done.error().message);
    };
    const auto& paths = host_->paths;
    check(host_->cgroups.kill_all(paths.root_cgroup(), std::chrono::seconds(10)));
    check(host_->cgroups.remove(paths.root_cgroup()));
    check(host_->network.remove_all());
    check(sys::remove_tree(paths.disks()));
    for (const auto& id : entries(paths.tasks())) check(sys::remove_tree(paths.task(id)));
    check(sys::unmount(paths.tasks()));
    ::rmdir(paths.tasks().c_str());
    ::rmdir(paths.run.c_str());  // stays when somebody else's files are in it
  }

  std::unique_ptr<Host> host_;
  std::map<std::string, std::shared_ptr<TaskRun>> tasks_;  // loop
  Sessions sessions_{*this, host_->clock};
  std::mutex security_mutex_;
  std::map<std::string, Security> security_;  // waiting to be applied
  std::set<std::string> security_busy_;
};

// Task directories hold secrets, so they must not be on a disk: where /run is no tmpfs, they get one of their own.
Result<void> make_run_directory(const Paths& paths) {
  TRY_VOID(sys::make_directories(paths.run, 0711));
  TRY_VOID(sys::make_directories(paths.tasks(), 0711));
  struct statfs info{};
  if (::statfs(paths.tasks().c_str(), &info) != 0) return fail(Code::Internal, "look at {}: {}", paths.tasks(), std::strerror(errno));
  if (info.f_type == TMPFS_MAGIC) return {};
  return sys::mount_tmpfs(paths.tasks(), "mode=711,size=25%");
}

Result<void> find_programs(LocalEngineOptions& options) {
  if (options.shim.empty()) {
    std::error_code error;
    options.shim = fs::read_symlink("/proc/self/exe", error).parent_path() / "watari-shim";
  }
  if (::access(options.shim.c_str(), X_OK) != 0)
    return fail(Code::FailedPrecondition, "there is no watari-shim at {}; scripts/build makes it", options.shim.string());
  const auto& program = options.runtime.front();
  if (program.contains('/')) return ::access(program.c_str(), X_OK) == 0 ? Result<void>{} : fail(Code::FailedPrecondition, "there is no OCI runtime at {}", program);
  for (auto* directory : {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}) {
    if (::access((directory + program).c_str(), X_OK) != 0) continue;
    options.runtime.front() = directory + program;
    return {};
  }
  return fail(Code::FailedPrecondition, "there is no OCI runtime {}; install the package of that name", program);
}

}  // namespace

Result<std::unique_ptr<Engine>> start_local_engine(LocalEngineOptions options) {
  if (::geteuid() != 0) return fail(Code::PermissionDenied, "running containers needs root");
  TRY_VOID(find_programs(options));
  TRY(auto cgroups, sys::Cgroups::detect());
  Paths paths{fs::absolute(options.root).string(), options.run_directory.string(), options.root_id};
  if (paths.run.empty()) paths.run = "/run/watari-" + options.root_id;
  TRY_VOID(make_run_directory(paths));
  TRY_VOID(sys::make_directories(paths.disks(), 0711));
  return std::make_unique<LocalEngine>(std::make_unique<Host>(std::move(options), std::move(cgroups), std::move(paths)));
}

}  // namespace watari::engine
