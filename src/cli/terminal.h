#pragma once
// The person's side of a session in a container (engine/sessions.h is the other).
#include <string>

#include "base/result.h"
#include "cli/client.h"
#include "codec/json.h"

namespace watari::cli {

// `session` is what ExecuteCommand answered. Passes keys and output until the command ends; returns its exit code. A terminal on
// stdin is raw meanwhile.
Result<int> run_session(const Client& client, const codec::Json& session);

}  // namespace watari::cli
