#pragma once
// Adds up what HAProxy processes counted into counters that only grow (counters.h): across reloads, and though server slots change
// hands. Owner: the balancer thread.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "balancer/counters.h"
#include "balancer/socket.h"

namespace watari::balancer {

class Counting {
 public:
  // A process that the former daemon started: what it counted until now is not counted here.
  void adopt(int process, const std::vector<ServerStat>& stats);
  // The servers and backends of a process as they are now; a process that was never seen counted from zero.
  void take(int process, const std::vector<ServerStat>& stats);
  // Backends of which HAProxy answered more by itself than is known by kind. Every process is asked for theirs, then it is told.
  std::vector<std::string> untold() const;
  void adopt_errors(int process, const std::map<std::string, OwnErrors>& errors);  // as adopt()
  void take_errors(int process, const std::map<std::string, OwnErrors>& errors);
  void told(const std::string& backend);
  // The process has ended.
  void forget(int process);
  // One request's time, by its slot.
  void time(int process, const std::string& backend, const std::string& server, double milliseconds);

  struct Group {
    Counters total;
    std::uint64_t all_5xx = 0;  // of targets and of HAProxy itself
    std::uint64_t told = 0;     // of `total.refused`
    std::map<std::string, Counters> targets;  // by "address:port"
  };
  const std::map<std::string, Group>& groups() const { return groups_; }  // by backend name
  // Targets that are not in the group any more are counted in its total only; groups that are gone not at all.
  void keep(const std::map<std::string, std::vector<std::string>>& targets_of);

 private:
  struct Seen {
    std::string address;
    Counters counters;
  };
  std::map<int, std::map<std::string, Seen>> seen_;  // by process and "backend/slot"
  std::map<int, std::map<std::string, OwnErrors>> seen_errors_;
  std::map<std::string, Group> groups_;
};

}  // namespace watari::balancer
