#pragma once
// What there is on a server of an application in an environment: everything that `watari up` makes, found by its names. Also of services
// that are gone from watari.yml or were removed half.
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cli/client.h"
#include "cli/up/app.h"

namespace watari::cli::up {

using Names = std::set<std::string>;

struct Footprint {
  std::string cluster;              // empty when it is gone
  bool whole = true;                // not some services alone: the cluster goes, too
  Names services, tasks, families;  // tasks: ARNs of those that run outside of services
  std::string balancer;             // ARN
  Names listeners, target_groups;   // ARNs
  std::vector<std::string> groups;  // security groups' ids, in the order in which they can be removed
  Names volumes;

  bool nothing(bool with_volumes) const {
    return (cluster.empty() || !whole) && services.empty() && families.empty() && balancer.empty() && target_groups.empty() && groups.empty() &&
           (volumes.empty() || !with_volumes);
  }
};

// `only`: full names of services; empty for all, and for what the application has besides.
Result<Footprint> find_footprint(Client& client, const App& app, const Names& only);

// An answer, or null where the API says with this error that there is none.
Result<codec::Json> unless(Result<codec::Json> answer, std::initializer_list<std::string_view> errors);

}  // namespace watari::cli::up
