#pragma once
// The services that requests of ours name. Thread: the control loop.
#include <optional>
#include <string>

#include "aws/call.h"
#include "model/service.h"

namespace watari::aws::watari {

// By name or ARN, of any status; in the cluster "default" when none is named. ResourceNotFoundException, with the names.
Result<model::Service> find_service(const Call& call, const std::optional<std::string>& cluster, const std::string& service);

}  // namespace watari::aws::watari
