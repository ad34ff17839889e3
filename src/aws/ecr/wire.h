#pragma once
// What the handlers of ECR share: the store, names, ARNs, AWS's words for what is missing.
#include <string>

#include "aws/call.h"
#include "oci/image_store.h"
#include "registry/policy.h"

namespace watari::aws::ecr {

Result<oci::ImageStore*> images_of(Call& call);

// Where a push of this caller arrives. AWS's own form means the same images everywhere here, but only who has just reached the server by an
// AWS name is known to find it by one; everybody else gets the address.
std::string registry_host(const Call& call);

// What a repository's policy is asked about this call; `action` is "ecr:<the operation>" when empty.
registry::PolicyRequest policy_request(const Call& call, std::string action = {});

// The settings of a repository of this registry: RepositoryNotFoundException when there is none, AccessDeniedException when its policy denies
// this operation. Every operation on a repository begins with it.
Result<oci::RepositorySettings> find_repository(Call& call, const std::optional<std::string>& registry_id, const std::string& name);

std::string repository_arn(const Call& call, const std::string& name);
// The name of an ARN of this account. InvalidParameterException when it is none.
Result<std::string> name_of_arn(const Call& call, const std::string& arn);

}  // namespace watari::aws::ecr
