#pragma once
// The verbs that are not clients of the API: they start, stop and check the server.
#include "cli/verbs.h"

namespace watari {

void add_serve(CLI::App& app, cli::Run& run);
void add_stop(CLI::App& app, cli::Run& run);
void add_doctor(CLI::App& app, cli::Run& run);

}  // namespace watari
