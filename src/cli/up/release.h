#pragma once
// Pass: moves services to their new revisions and waits until they serve, or says why they do not.
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/up/app.h"
#include "cli/up/network.h"
#include "cli/up/progress.h"

namespace watari::cli::up {

// One service on its way.
struct Rollout {
  const Service* service = nullptr;
  std::string full_name;
  std::string definition;         // ARN to run
  std::string before_definition;  // ARN, or empty
  std::string former;             // the ARN that it ran until now, or empty
  bool changed = false;
  double seconds = 0;
};

// Releases services that do not depend on each other, side by side. FailedPrecondition with everything that is known about each
// failure: the last probe, exit codes, the last lines of the failing container, and what still serves.
Result<void> release(Client& client, const App& app, const Network& network, std::vector<Rollout*> wave, Progress& progress);

}  // namespace watari::cli::up
