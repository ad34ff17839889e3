#pragma once
// What the handlers of ECR share: the store, names, ARNs, AWS's words for what is missing.
#include <string>

#include "aws/call.h"
#include "oci/image_store.h"

namespace watari::aws::ecr {

Result<oci::ImageStore*> images_of(Call& call);

// The settings of a repository of this registry. RepositoryNotFoundException otherwise.
Result<oci::RepositorySettings> find_repository(Call& call, const std::optional<std::string>& registry_id, const std::string& name);

std::string repository_arn(const Call& call, const std::string& name);
// The name of an ARN of this account. InvalidParameterException when it is none.
Result<std::string> name_of_arn(const Call& call, const std::string& arn);

}  // namespace watari::aws::ecr
