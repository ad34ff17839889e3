#pragma once
// The releases of a service, and following one of them to its end.
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/services.h"

namespace watari::cli::deploy {

struct Release {
  std::string arn, status, reason;
  std::string revision;         // of the service: the digits at the end of its ARN
  std::string task_definition;  // "web:7"
  double created = 0, finished = 0;
  bool open() const;            // under way
};
// Newest first, those that the server keeps.
Result<std::vector<Release>> releases_of(Client& client, const Found& service);

// The release before the one that serves, whose revision differs, or the one that `to` means: a revision's digits, "web:7", or "7".
// NotFound says what there is.
Result<Release> way_back(const std::vector<Release>& releases, const std::string& to);

// Updates the service and returns the ARN of the release that this begins; empty when nothing had to change.
Result<std::string> update(Client& client, const Found& service, codec::Json request);

// Says what happens until the release has ended; FailedPrecondition with everything that is known when it failed.
Result<void> follow(Client& client, const Found& service, const std::string& arn, bool quiet_stdout);

Result<Found> find_service(Client& client, const std::string& name, const std::string& cluster);

}  // namespace watari::cli::deploy
