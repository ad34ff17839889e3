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
  if (registry == call.scope.account)
    if (auto settings = images->repositories().settings(name)) return settings;
  return error("RepositoryNotFoundException", "The repository with name '{}' does not exist in the registry with id '{}'", name, registry);
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
