#pragma once
// Why a revision does not serve, from what the API knows: probes, exits, the last lines of the container that failed.
#include <string>

#include "cli/client.h"

namespace watari::cli::up {

// Lines for people, each indented; empty when nothing is known. `service` may be empty: then `task` (DescribeTasks) alone is looked at.
std::string diagnose_service(Client& client, const std::string& cluster, const std::string& service, const std::string& definition);
std::string diagnose_task(Client& client, const codec::Json& task);

}  // namespace watari::cli::up
