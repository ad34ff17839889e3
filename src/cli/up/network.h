#pragma once
// Pass: what an application needs around its services: cluster, security groups, load balancer, target groups, listeners.
// Everything is looked up first and made or changed only where it differs.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cli/client.h"
#include "cli/up/app.h"
#include "cli/up/progress.h"

namespace watari::cli::up {

struct Balanced {
  std::string blue, green;      // ARNs of the target groups
  std::string production_rule;  // ARN of the listener's default rule
  std::vector<std::pair<int, std::string>> former_listeners;  // port and ARN: of ports that the file no longer names
  std::string url;
};

struct Network {
  codec::Json subnets;            // of the default VPC
  std::string vpc;
  std::string tasks, balancers;   // ids of the security groups
  std::map<std::string, Balanced> balanced;  // by service
};

Result<Network> ensure_network(Client& client, const App& app, Progress& progress);
// Names of load balancers and target groups have at most 32 characters.
std::string short_name(const std::string& name, const std::string& suffix);

// After the release: a port that the file no longer names is closed.
Result<void> close_former_listeners(Client& client, const Network& network, Progress& progress);

}  // namespace watari::cli::up
