#pragma once
// Calls that wait for a server that is being restarted, instead of failing in the middle of a release.
#include "cli/client.h"

namespace watari::cli::up {

// Only for calls that may be repeated. Gives up after a minute without an answer.
Result<codec::Json> patiently(Client& client, const std::string& service, const std::string& operation, const codec::Json& request);

}  // namespace watari::cli::up
