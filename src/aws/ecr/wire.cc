#include "aws/ecr/wire.h"

#include "oci/reference.h"

namespace watari::aws::ecr {

Result<oci::ImageStore*> images_of(Call& call) {
  if (call.platform.images) return call.platform.images;
  return fail(Code::Unavailable, "this server was started without its image store");
}

Result<oci::RepositorySettings> find_repository(Call& call, const std::optional<std::string>& registry_id, const std::string& name) {
  TRY(auto* images, images_of(call));
  const auto registry = registry_id.value_or(call.scope.account);
  auto settings = registry == call.scope.account ? images->repositories().settings(name) : fail(Code::NotFound, "");
  if (settings) {
    // The one thing that no policy keeps the account's root user from: else a mistake would be for ever.
    const bool way_out = call.operation == "DeleteRepositoryPolicy" && call.principal.ends_with(":root");
    if (way_out || !registry::denies(settings->policy, policy_request(call))) return settings;
    return error("AccessDeniedException", "User: {} is not authorized to perform: ecr:{} on resource: {} with an explicit deny in a resource-based policy", call.principal,
                 call.operation, repository_arn(call, name));
  }
  return error("RepositoryNotFoundException", "The repository with name '{}' does not exist in the registry with id '{}'", name, registry);
}

std::string registry_host(const Call& call) {
  const auto name = call.host.substr(0, call.host.find(':'));
  if (!call.secure || !name.ends_with(".amazonaws.com")) return call.platform.endpoint;
  return fmt::format("{}.dkr.ecr.{}.amazonaws.com", call.scope.account, call.scope.region);
}

registry::PolicyRequest policy_request(const Call& call, std::string action) {
  return {action.empty() ? "ecr:" + std::string(call.operation) : std::move(action), call.principal, call.scope.account, call.secure};
}

std::string repository_arn(const Call& call, const std::string& name) {
  return fmt::format("arn:aws:ecr:{}:{}:repository/{}", call.scope.region, call.scope.account, name);
}

Result<std::string> name_of_arn(const Call& call, const std::string& arn) {
  const auto prefix = repository_arn(call, "");
  if (arn.starts_with(prefix)) return arn.substr(prefix.size());
  return error("InvalidParameterException", "Invalid parameter at 'resourceArn': {} is not a repository in {}", arn, call.scope.region);
}

}  // namespace watari::aws::ecr
