#include "aws/iam/common.h"

#include "control/control.h"

namespace watari::aws::iam {

std::string role_key(const Call& call, const std::string& name) { return call.scope.account + "/" + name; }

Result<model::Role> find_role(const Call& call, const std::string& name) {
  auto role = call.platform.control->state().roles.get(role_key(call, name));
  if (!role) return error("NoSuchEntityException", "The role with name {} cannot be found.", name);
  return *role;
}

Result<void> put_role(Call& call, const model::Role& role) {
  return call.platform.control->commit([&]() -> Result<void> {
    call.platform.control->state().roles.put(role_key(call, role.name), role);
    return {};
  });
}

Result<void> check_policy(const std::string& document) {
  auto parsed = codec::parse_json(document);
  if (!parsed || !parsed->is_object()) return error("MalformedPolicyDocumentException", "This policy contains invalid Json");
  if (!parsed->has("Statement")) return error("MalformedPolicyDocumentException", "Syntax errors in policy: it has no Statement.");
  return {};
}

}  // namespace watari::aws::iam
