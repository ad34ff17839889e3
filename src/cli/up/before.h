#pragma once
// The one-shot task before a revision: a migration. Runs once for each revision of its own task definition, however often and from
// wherever `up` is repeated.
#include "cli/up/release.h"

namespace watari::cli::up {

Result<void> run_before(Client& client, const App& app, const Network& network, const Rollout& rollout, Progress& progress);

// The networkConfiguration of everything that runs for the application.
codec::Json network_configuration(const Network& network);

}  // namespace watari::cli::up
