#pragma once
// Snapshot -> what HAProxy should be told: pure, no side effects, so that golden tests can look at it.
//
// The text is split by how it changes. `frontends` and the backends' heads are structure: a change needs a reload. Which
// target sits in which server slot and how a rule splits its traffic are run-time state: the admin socket changes them.
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "balancer/balancer.h"

namespace watari::balancer {

// One target group that some rule forwards to: a HAProxy backend. Its targets sit in it twice: as sN, and as oN, backup servers that
// take over while no sN is up (ALB "fails open"). A new target is probed as oN first, at once and quickly: the timer of a free sN
// runs on at the group's interval, and may be that far from its next probe. When the target has settled, oN is probed no more.
struct Backend {
  std::string name;
  std::string group;   // ARN
  std::string head;    // lines below `backend NAME`
  std::string server;  // options of every server line
  std::string checked; // further ones of sN
  std::string first;   // further ones of oN
  bool sticky = false;  // by cookie: HAProxy's drain would still let such requests in, so a draining target is in maintenance
  bool tls = false;     // to its targets
  bool slow_start = false;
  bool cuts = false;    // requests that outlast the deregistration delay (a network load balancer lets its connections be, unless told otherwise)
  int rise = 5, fall = 2;
  Seconds interval{30}, timeout{5};
};

struct Plan {
  std::string frontends;
  std::vector<Backend> backends;
  std::map<std::string, std::string> splits;  // rule key -> "backend" or "7000:blue:10000:green" (see README.md)
  // Rules that their frontend has nothing beside: rule key -> backends. While all of the rule's traffic goes to one of them, no draw is needed.
  std::map<std::string, std::set<std::string>> shortcuts;
  std::map<std::string, std::string> files;   // file name in the run directory -> content: bodies, certificates and their lists
  std::set<int> ports;
  std::set<std::pair<int, std::string>> listening;  // ports and places (listening.h)
  std::uint64_t descriptors = 0;                    // that HAProxy may have; 0: not known
};

struct CompileOptions {
  std::string run_directory;
  std::vector<std::string> addresses;            // where listeners bind; IPv6 in brackets
  std::set<int> closed_ports;                    // taken by someone else: left out
  std::map<std::string, std::string> namespaces; // VPC -> "name" of a namespace that exists now, with its identity
  std::map<std::string, std::string> inside;     // VPC -> the place in it where its load balancers listen as well
  std::uint64_t descriptors = 0;                 // that HAProxy may have; 0: not known
  bool operator==(const CompileOptions&) const = default;
};

Plan compile(const Snapshot& snapshot, const CompileOptions& options);
// Makes the plan of `before` that of `now`, when they differ in weights and targets only: the work of the rules that changed, however
// many there are. Returns the keys of those; otherwise none, and the plan is as it was.
std::optional<std::set<std::string>> reweigh(Plan& plan, const Snapshot& before, const Snapshot& now, const CompileOptions& options);

// Names that HAProxy sees, made from ARNs.
std::string backend_name(const std::string& target_group_arn);
std::string rule_key(const std::string& rule_arn);

// "7000:blue:10000:green": a request draws 0..9999 and takes the first pair whose limit is above. One group with weight:
// its name alone. None: "none".
std::string split_of(const std::vector<model::WeightedTargetGroup>& forward);

// A split as the map of a rule has it: "0:6999 blue" and "7000:9999 green", a range of draws each; and back.
std::vector<std::pair<std::string, std::string>> map_of_split(const std::string& split);
std::string split_of_map(const std::vector<std::pair<std::string, std::string>>& entries);
std::string map_file(const CompileOptions& options, const std::string& rule_key);

// The backend of dummy servers, one a shortcut, and their names "RULE-BACKEND": the one that is up says which shortcut is taken.
inline constexpr std::string_view kShortcuts = "shortcuts";
std::string shortcut_name(const std::string& rule_key, const std::string& backend);
// Where the shortcuts of a rule stand in `Plan::frontends`: they are not structure, since they need not be those of now.
std::string shortcut_mark(const std::string& rule_key);

// The HAProxy condition ("{ path -m reg … }") of a rule's conditions, joined by AND; "" when there are none.
std::string condition_text(const std::vector<model::Condition>& conditions);
// The redirect's location as a HAProxy log-format string; `protocol` is the listener's.
std::string location_format(const model::Action& action, const std::string& protocol = "http");
// "*" and "?" wildcards as a regular expression, without anchors; `any` is what "?" stands for. With `escapes`, "\*" and "\?" are no wildcards.
std::string wildcard_regex(const std::string& pattern, const std::string& any = ".", bool escapes = false);

}  // namespace watari::balancer
