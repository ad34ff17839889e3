#pragma once
// From where a lifecycle hook behind a URL is called. Pure; thread: the control loop.
#include <optional>
#include <string>

#include "control/hooks.h"

namespace watari::control {

struct InsidePlace {
  model::Vpc vpc;
  std::string url;  // with an address for a name
};

// The VPC of the deployment's service, when the URL's host is an address in it, or a name (ECS Service Connect) under which the service's
// tasks would reach another service: nobody outside reaches such a place, so the call is made from inside. Nothing for all others: those are
// called from the host, which knows the names of load balancers, too.
std::optional<InsidePlace> place_inside(const State& state, const HookCall& call);

}  // namespace watari::control
