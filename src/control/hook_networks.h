#pragma once
// From where a lifecycle hook behind a URL is called. Pure; thread: the control loop.
#include <optional>

#include "control/hooks.h"

namespace watari::control {

// The VPC of the deployment's service, when the URL's host is an address in it: nobody outside reaches such a place, so the call is made
// from inside. Nothing for names and all other addresses: those are called from the host.
std::optional<model::Vpc> vpc_to_call_from(const State& state, const HookCall& call);

}  // namespace watari::control
