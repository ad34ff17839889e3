// Policies of roles: kept and shown, not enforced. Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_AttachRolePolicy.html
#include <algorithm>

#include "aws/gen/iam/attach_role_policy.h"
#include "aws/gen/iam/delete_role_policy.h"
#include "aws/gen/iam/detach_role_policy.h"
#include "aws/gen/iam/get_role_policy.h"
#include "aws/gen/iam/list_attached_role_policies.h"
#include "aws/gen/iam/list_role_policies.h"
#include "aws/gen/iam/put_role_policy.h"
#include "aws/iam/common.h"

namespace watari::aws::iam {

Result<AttachRolePolicyResponse> attach_role_policy(Call& call, const AttachRolePolicyRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  if (std::ranges::count(role.attached_policies, request.PolicyArn)) return AttachRolePolicyResponse{};
  role.attached_policies.push_back(request.PolicyArn);
  TRY_VOID(put_role(call, role));
  return AttachRolePolicyResponse{};
}

Result<DetachRolePolicyResponse> detach_role_policy(Call& call, const DetachRolePolicyRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  if (!std::erase(role.attached_policies, request.PolicyArn))
    return error("NoSuchEntityException", "Policy {} was not found.", request.PolicyArn);
  TRY_VOID(put_role(call, role));
  return DetachRolePolicyResponse{};
}

Result<ListAttachedRolePoliciesResponse> list_attached_role_policies(Call& call, const ListAttachedRolePoliciesRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  ListAttachedRolePoliciesResponse response;
  for (const auto& arn : role.attached_policies) {
    AttachedPolicy policy;
    policy.PolicyArn = arn;
    policy.PolicyName = arn.substr(arn.rfind('/') + 1);
    response.AttachedPolicies.push_back(policy);
  }
  response.IsTruncated = false;
  return response;
}

Result<PutRolePolicyResponse> put_role_policy(Call& call, const PutRolePolicyRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  TRY_VOID(check_policy(request.PolicyDocument));
  role.inline_policies[request.PolicyName] = request.PolicyDocument;
  TRY_VOID(put_role(call, role));
  return PutRolePolicyResponse{};
}

Result<GetRolePolicyResponse> get_role_policy(Call& call, const GetRolePolicyRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  auto found = role.inline_policies.find(request.PolicyName);
  if (found == role.inline_policies.end())
    return error("NoSuchEntityException", "The role policy with name {} cannot be found.", request.PolicyName);
  GetRolePolicyResponse response;
  response.RoleName = role.name;
  response.PolicyName = found->first;
  response.PolicyDocument = encode_policy(found->second);
  return response;
}

Result<DeleteRolePolicyResponse> delete_role_policy(Call& call, const DeleteRolePolicyRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  if (!role.inline_policies.erase(request.PolicyName))
    return error("NoSuchEntityException", "The role policy with name {} cannot be found.", request.PolicyName);
  TRY_VOID(put_role(call, role));
  return DeleteRolePolicyResponse{};
}

Result<ListRolePoliciesResponse> list_role_policies(Call& call, const ListRolePoliciesRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  ListRolePoliciesResponse response;
  for (const auto& [name, document] : role.inline_policies) response.PolicyNames.push_back(name);
  response.IsTruncated = false;
  return response;
}

}  // namespace watari::aws::iam
