#pragma once
// The balancer thread's state and steps: what HAProxy runs now, and how it gets from there to a snapshot. Not thread safe;
// balancer.cc owns the only instance and its thread.
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "balancer/access_log.h"
#include "balancer/compile.h"
#include "balancer/counting.h"
#include "balancer/keeper.h"
#include "balancer/listening.h"
#include "balancer/process.h"
#include "balancer/request_log.h"
#include "balancer/socket.h"
#include "balancer/wanted.h"

namespace watari::balancer {

class Haproxy {
 public:
  explicit Haproxy(const Options& options, AccessLogSink sink = {});

  // Takes over what runs, with its slots and splits.
  void adopt();
  // Makes HAProxy be what the snapshot says. Calling it again after an error, or after any interruption, is safe.
  Result<void> reconcile(const Snapshot& snapshot);
  // Asks HAProxy for states and requests in flight, and promotes targets after their first good probe. Cancelled as soon as
  // `interrupt` (a descriptor, or -1) is readable: with thousands of targets it takes a while.
  Result<std::vector<model::TargetHealth>> observe(const Snapshot& snapshot, int interrupt = -1);
  // Lets requests finish, but not longer than `limit`, and ends every process.
  void stop(std::chrono::milliseconds limit);
  // Of the target groups of the last snapshot, as of the last observe().
  std::vector<TargetGroupCounters> counters() const;

  bool running() const { return process_ && !process_->ended(); }
  int pidfd() const { return process_ ? process_->pidfd() : -1; }
  std::set<int> ports() const { return sockets_.ports(); }
  // Something that should be is left out for now (a port that is taken, a namespace that does not exist yet).
  bool incomplete() const { return incomplete_; }

 private:
  void take_over();
  CompileOptions examine(const Snapshot& snapshot);
  // Asks for requests that are overdue, as last asked, to be ended, and forgets those of which none is left.
  void cut_overdue();
  // After a former daemon: requests at targets that are gone.
  void find_strays();
  Result<void> reload();
  Result<void> change_splits();
  std::vector<const Backend*> to_ask(const Process& process);
  Result<void> ask(const Process& process, const std::vector<const Backend*>& backends, int interrupt);
  // The next version of the map of a rule's split; `text` gets the commands that make it.
  Result<unsigned> next_version(const std::string& rule, const std::string& map, std::string& commands);
  // What makes the rule's requests take the shortcut that its split allows, or none.
  std::string take_shortcut(const std::string& rule, const std::string& split_text);
  // Has somebody stand by for the time without a daemon, with what HAProxy would begin with (keeper.h).
  void provide();
  Result<void> write_split(const std::string& rule, const std::string& split_text) const;
  Result<void> order(const std::string& commands);
  // One after the other, as few round trips as HAProxy's buffer allows.
  Result<void> order_all(const std::vector<std::string>& commands);
  void remove_stale_files() const;
  void retire(std::unique_ptr<Process> process);
  // Ends replaced processes that have nothing left to do.
  void sweep();
  // Requests per "backend address", those of replaced processes included.
  std::map<std::string, int> count_sessions() const;
  void count();
  // Of the errors that a process gave itself, which were which.
  std::map<std::string, OwnErrors> errors_of(const Process& process, const std::vector<std::string>& backends) const;
  void tell_errors_apart();
  void read_log(int process);
  void take_states(const std::vector<ServerStat>& stats);
  model::TargetHealth health_of(const model::Target& target, const ServerStat* stat, const Slot* slot) const;

  Options options_;
  std::vector<std::string> addresses_;
  ListeningSockets sockets_;
  Keeper keeper_;
  bool provided_ = false;                           // the keeper's configuration is that of now
  Steady::time_point provide_again_{};
  std::unique_ptr<Process> process_;                // the newest one: it listens
  std::vector<std::unique_ptr<Process>> replaced_;  // finishing their requests
  int number_ = 0;                                  // of the last process
  Wanted wanted_;
  std::map<std::string, std::string> splits_;  // as HAProxy has them
  std::map<std::string, unsigned> versions_;   // of their maps, where it was asked
  std::map<std::string, std::set<std::string>> shortcuts_;  // as HAProxy has them
  std::map<std::string, std::string> taken_;                   // rule -> backend of the shortcut that is taken; none: no entry
  std::string generation_;                     // as HAProxy has it; empty: reload, whatever it has
  struct Seen {
    Steady::time_point at{};  // when it was asked
    std::vector<ServerStat> stats;
  };
  std::map<int, std::map<std::string, Seen>> seen_;  // by process and backend
  std::set<std::pair<std::string, std::string>> overdue_;  // backend, address: of targets that are gone; to be cut wherever they are
  bool strays_ = false;                                    // what the former daemon left may be overdue, too
  Counting counting_;
  std::map<int, RequestLog> logs_;  // by process
  AccessLog access_log_;
  AccessLogSink sink_;
  std::map<std::string, Place> inside_;  // of namespaces, by identity
  bool incomplete_ = false;
  std::set<std::string> complaints_;
};

}  // namespace watari::balancer
