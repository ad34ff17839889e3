#include "aws/watari/services.h"

#include "aws/ecs/names.h"
#include "control/control.h"

namespace watari::aws::watari {

Result<model::Service> find_service(const Call& call, const std::optional<std::string>& cluster, const std::string& service) {
  TRY(auto in, ecs::cluster_name(call.scope, cluster));
  TRY(auto name, ecs::service_name(call.scope, in, service));
  auto found = call.platform.control->state().services.get(control::service_key(call.scope, in, name));
  if (!found) return error("ResourceNotFoundException", "there is no service {} in cluster {}", name, in);
  return *std::move(found);
}

}  // namespace watari::aws::watari
