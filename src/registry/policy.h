#pragma once
// Repository policies: who may do what with a repository. Pure. The account's root, and everybody who has assumed one of its roles, may do everything that
// no statement denies; so Allow statements are checked and change nothing, and Deny statements deny.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html,
//         https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html
#include <string>
#include <string_view>

#include "base/result.h"

namespace watari::registry {

struct PolicyRequest {
  std::string action;     // "ecr:BatchGetImage"
  std::string principal;  // ARN of the caller
  std::string account;    // of the caller
  bool secure = false;    // aws:SecureTransport
};

// InvalidArgument with what is wrong. Conditions of Deny statements that cannot be judged here are refused by name: what is stored is enforced.
Result<void> check_policy(std::string_view json);
// Does a statement of the policy deny it? An empty policy denies nothing; one that cannot be read denies everything.
bool denies(std::string_view policy, const PolicyRequest& request);

}  // namespace watari::registry
