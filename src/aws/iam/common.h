#pragma once
// What the operations on roles share.
#include <string>

#include "aws/call.h"
#include "base/strings.h"
#include "model/role.h"

namespace watari::aws::iam {

std::string role_key(const Call& call, const std::string& name);
// NoSuchEntity, in IAM's words.
Result<model::Role> find_role(const Call& call, const std::string& name);
Result<void> put_role(Call& call, const model::Role& role);

// A policy must be a JSON object (MalformedPolicyDocument).
Result<void> check_policy(const std::string& document);
// IAM answers with policies percent-encoded; its SDKs decode them.
inline std::string encode_policy(const std::string& document) { return percent_encode(document); }

}  // namespace watari::aws::iam
