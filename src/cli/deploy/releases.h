#pragma once
// The releases of a service, and following one of them to its end.
#include <cstdio>
#include <string>
#include <vector>

#include "cli/client.h"
#include "cli/services.h"

namespace watari::cli::deploy {

struct Release {
  std::string arn, status, reason;
  std::string revision;         // of the service: the digits at the end of its ARN
  std::string task_definition;  // "web:7"
  codec::Json images;           // container -> digest that ran
  codec::Json network;          // networkConfiguration, as UpdateService takes it
  double created = 0, finished = 0;
  bool open() const;            // under way
};
// Newest first, those that the server keeps.
Result<std::vector<Release>> releases_of(Client& client, const Found& service);

// The release before the one that serves, which ran something else, or the one that `to` means: a revision's digits, "web:7", or "7".
// NotFound says what there is.
Result<Release> way_back(const std::vector<Release>& releases, const std::string& to);

// A look before anything starts: PlanDeployment. `request` says what is wanted; cluster and service are filled in.
Result<codec::Json> plan(Client& client, const Found& service, codec::Json request);
void print_problems(const codec::Json& plan, std::FILE* to);

// Registers the definition again with other images: container -> image; "*" is the essential one. Its ARN.
Result<std::string> register_again(Client& client, const std::string& definition, const codec::Json& images);

// Begins a release: UpdateService's members, or (a plan with a deployment group) CodeDeploy's CreateDeployment of its taskDefinition.
// Returns its ARN; empty when nothing had to change.
Result<std::string> start(Client& client, const Found& service, const codec::Json& plan, codec::Json request);

// Says what happens until the release has ended; FailedPrecondition with everything that is known when it failed.
Result<void> follow(Client& client, const Found& service, const std::string& arn, bool quiet_stdout);

Result<Found> find_service(Client& client, const std::string& name, const std::string& cluster);

}  // namespace watari::cli::deploy
