#pragma once
// One task on this machine, from run() to Stopped: the state machine behind model::TaskStatus.
//
//   Preparing --> Active --> Stopping --> TearingDown --> Stopped
//       \-----------------------^
//
// Level-triggered: advance() looks at what is and starts what is missing, so that every event, and a new daemon, simply calls it. What must survive
// is in the record (tmpfs) before anybody is told. All members live on the host's loop; blocking work goes to the pool and comes back as a posted
// job. Shared ownership: such jobs keep the task alive.
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "engine/local/health.h"
#include "engine/local/host.h"
#include "engine/local/preparation.h"
#include "async/loop.h"
#include "runtime/shim_client.h"

namespace watari::engine {

// record.json, mode 0600 on tmpfs.
struct TaskRecord {
  TaskSpec spec;
  std::map<std::string, std::map<std::string, std::string>> secrets;  // by container; not part of TaskSpec's fields
  model::TaskStatus status;
  bool launched = false;  // a shim may have been started
  bool stop_wanted = false;
  std::string stop_code, stop_reason;
  std::map<std::string, Time> terminated_at;  // when the stop signal was sent, by container
  WATARI_FIELDS(TaskRecord, spec, secrets, status, launched, stop_wanted, stop_code, stop_reason, terminated_at)
};

class TaskRun : public std::enable_shared_from_this<TaskRun> {
 public:
  TaskRun(Host& host, TaskSpec spec);
  TaskRun(Host& host, TaskRecord record);  // of a former daemon

  void start();
  // Takes up what a former daemon left. Blocking for the shim's answer (milliseconds); before the loop handles anything else.
  void resume();
  void stop(const std::string& code, const std::string& reason);
  void write_hosts();
  // Lets go of the shim without touching it: the daemon ends.
  void release();

  const std::string& id() const { return record_.spec.id; }
  std::pair<std::string, std::string> names_place() const { return {record_.spec.network.vpc, record_.spec.names_namespace}; }
  const model::TaskStatus& status() const { return record_.status; }
  bool stopped() const { return phase_ == Phase::Stopped; }
  std::shared_ptr<runtime::ShimClient> shim() const { return shim_; }

 private:
  enum class Phase { Preparing, Active, TearingDown, Stopped };
  struct Container {
    std::optional<ReadyImage> image;
    bool wanted = false;     // prepare and run are under way, or the shim has it
    bool in_shim = false;    // the shim knows it
    bool timing = false;     // the start timeout of those who wait for it counts
    std::optional<HealthState> health;
    bool killing = false;    // the timer for SIGKILL is set
  };

  // Coming up (task_start.cc)
  void fetch_images();
  void launch();
  struct Connected {
    std::shared_ptr<runtime::ShimClient> client;
    runtime::ShimStatus status;
  };
  // Any thread. `number` is what connection_ is while this connection counts.
  Result<Connected> connect_shim(int number);
  void attach_shim(Connected connected);
  void advance();
  void start_container(std::size_t index);
  void send_run(std::size_t index, const runtime::RunRequest& request);
  void watch_start_timeout(const std::string& container);
  void container_failed(std::size_t index, const std::string& reason);
  // What the shim reports (task_run.cc)
  void shim_changed(const runtime::ShimContainer& container);
  void apply(const runtime::ShimContainer& container);
  void shim_lost(const std::string& why);
  void update_task_state();
  // task_health.cc
  void check_health(std::size_t index);
  void schedule_health(std::size_t index);
  void health_checked(std::size_t index, bool success, const std::string& output);
  // Going down (task_stop.cc)
  void begin_stop(const std::string& code, const std::string& reason);
  void advance_stop();
  void watch_stopping();
  void terminate(std::size_t index);
  void tear_down();
  void finished();

  // A record that cannot be written (a full tmpfs) is tried again each second. A daemon that starts finds the rest with the shim; a
  // task without any record it would not know, so nothing is launched before the first.
  Result<void> save();
  void report();  // save, then tell
  void signal(const std::string& container, int number);
  std::size_t index_of(const std::string& container) const;
  model::ContainerStatus& status_of(std::size_t index) { return record_.status.containers[index]; }
  const ContainerSpec& spec_of(std::size_t index) const { return record_.spec.containers[index]; }
  std::string stop_signal_of_image(std::size_t index) const;
  bool all_stopped() const;
  // Runs `work` on the pool, then `then(result)` on the loop, while this task lives.
  template <class Work, class Then>
  void in_background(Work work, Then then);

  Host& host_;
  TaskRecord record_;  // record_.spec never changes, so pool threads may read it
  Phase phase_ = Phase::Preparing;
  std::vector<Container> containers_;
  std::shared_ptr<runtime::ShimClient> shim_;
  int connection_ = 0;      // events of an earlier connection are dropped
  int background_ = 0;      // jobs on the pool
  bool saves_again_ = false;
};

template <class Work, class Then>
void TaskRun::in_background(Work work, Then then) {
  ++background_;
  host_.work([self = shared_from_this(), work = std::move(work), then = std::move(then)]() mutable {
    auto& loop = self->host_.loop;
    loop.post([self = std::move(self), result = work(), then = std::move(then)]() mutable {
      --self->background_;
      then(std::move(result));
    });
  });
}

}  // namespace watari::engine
