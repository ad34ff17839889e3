#pragma once
// Turns ELBv2 objects into one HAProxy process and keeps it so. HAProxy outlives the daemon and is re-adopted.
//
// apply() is level-triggered: it takes everything that should be and works out the difference. Targets, their states and
// weights go through the runtime API and map files; only listeners and rules need a (hitless) reload.
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "balancer/counters.h"
#include "base/result.h"
#include "base/shared_map.h"
#include "model/balancing.h"

namespace watari::balancer {

struct ServedCertificate {
  std::string pem;                 // certificate, chain and private key
  std::vector<std::string> names;  // DNS names that it is for
};

// By ARN. Made from one another, so that what changed is found without looking at the rest (base/shared_map.h).
struct Snapshot {
  SharedMap<model::LoadBalancer> load_balancers;
  SharedMap<model::Listener> listeners;
  SharedMap<model::Rule> rules;  // default rules included
  SharedMap<model::TargetGroup> target_groups;
  SharedMap<model::Target> targets;                     // by "<ARN of the target group>/<something>"
  SharedMap<ServedCertificate> certificates;
  std::map<std::string, std::string> namespace_of_vpc;  // vpc id -> /run/netns name; absent: the host's
};

struct Options {
  std::string run_directory;             // sockets, maps, configuration
  std::string address = "127.0.0.1";     // where listeners bind
  std::string haproxy = "haproxy";
};

class Balancer {
 public:
  // Called on a balancer thread whenever states or in-flight counts changed; the whole list.
  using Observer = std::function<void(std::vector<model::TargetHealth>)>;

  // Adopts a running HAProxy of this run directory, if there is one.
  static Result<std::unique_ptr<Balancer>> start(Options options, Observer observer);
  virtual ~Balancer() = default;

  // Asynchronous; the newest snapshot wins. Problems are logged and tried again.
  virtual void apply(Snapshot snapshot) = 0;
  // Whether a listener could bind this port now. AlreadyExists names the holder where it can be told.
  virtual Result<void> check_port(int port) = 0;
  // Runs `done` (on a balancer thread) when everything applied before has taken effect in HAProxy; what the observer is told after that
  // is about the time after it.
  virtual void flush(std::function<void()> done) = 0;
  // Requests, answers and latency of every target group that a rule forwards to, as last collected (every second, and ten
  // times a second while targets come or go). Any thread; does not wait.
  virtual std::vector<TargetGroupCounters> counters() const { return {}; }
  // Ends HAProxy, letting requests finish (`--stop-all`).
  virtual void stop_all() = 0;
};

}  // namespace watari::balancer
