#pragma once
// Which target sits in which server slot of its backend. HAProxy 2.6 accepts no `namespace` for servers added at run time,
// so every backend has spare server lines, and a target is put into one by setting its address. Owner: the balancer thread.
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "balancer/compile.h"

namespace watari::balancer {

using Steady = std::chrono::steady_clock;

struct Slot {
  std::string address;  // "10.0.0.7:8080"; empty: free
  bool draining = false;
  bool up = false;            // as last observed or ordered
  bool ever_healthy = false;  // until then its first good probe is enough
  bool settled = false;       // no longer `initial`: was healthy once, or failed as long as the threshold allows
  Steady::time_point since = Steady::now();           // when the target was put here
  Steady::time_point drained = Steady::time_point{};  // when draining began
  Time deadline{};  // while draining: what is asked of it then is cut
  Steady::time_point freed = Steady::time_point{};    // when the last target left; never: the beginning of time

  bool free() const { return address.empty(); }
};

struct SlotTable {
  std::vector<Slot> slots;

  Slot* find(const std::string& address);
  // A free slot in which no probe of its former target can still be under way; nullptr: more slots are needed.
  int free_slot(Seconds quiet) const;
};

// How many slots a backend should have for this many targets: few can all be replaced at once, of many a half (then they become twice as many).
// A slot costs HAProxy some 12 KB, and most of the time that a reload takes.
std::size_t slots_for(std::size_t targets);

// The whole configuration with every slot in it. `generation` ends up in `show info` and tells which configuration
// runs; `number` is the process it is for (process.h).
std::string render(const Plan& plan, const std::map<std::string, SlotTable>& tables, const std::string& generation,
                   const std::string& run_directory, int number);
// What a reload keeps: states of the servers in HAProxy's state file format (version 1).
std::string render_states(const Plan& plan, const std::map<std::string, SlotTable>& tables);
// Digest of what only a reload can change: the plan's structure and the numbers of slots.
std::string generation_of(const Plan& plan, const std::map<std::string, SlotTable>& tables, const std::string& run_directory);

}  // namespace watari::balancer
