#pragma once
// What HAProxy should be: made of each snapshot from what the one before wanted, by the work of what changed between the two; the same
// as if it were made anew (a test compares them). Pure but for the time at which slots were freed. Owner: the balancer thread.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "balancer/compile.h"
#include "balancer/slots.h"

namespace watari::balancer {

struct Wanted {
  Plan plan;
  std::map<std::string, SlotTable> tables;  // by backend name
  std::string generation;                   // of both, as generation_of() has it; empty: make all of it anew
  std::set<std::string> unsent;             // rules whose splits HAProxy may have otherwise
  std::vector<std::pair<std::string, std::string>> overdue;  // backend, address: removed while requests were on their way, to be cut
  bool compiled = false;                    // the last snapshot differed in more than weights and targets
  Snapshot taken;                           // the last one
  CompileOptions taken_with;

  // Takes a snapshot. Puts targets into slots, takes them out, drains; returns the commands for a HAProxy that had what was wanted before.
  // One of another generation needs a reload instead.
  std::vector<std::string> take(const Snapshot& snapshot, CompileOptions options);

 private:
  std::vector<std::string> place_all(const Snapshot& now);
  // Of the target groups in which something changed since the last snapshot.
  std::vector<std::string> place_changed(const Snapshot& now);
  std::vector<std::string> place(const Backend& backend, const SharedMap<model::Target>& targets);

  bool grown_ = false;  // a table has more slots than `generation` says
};

}  // namespace watari::balancer
