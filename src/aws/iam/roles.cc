// Roles. Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html and its neighbours.
#include "aws/gen/iam/create_role.h"
#include "aws/gen/iam/delete_role.h"
#include "aws/gen/iam/get_role.h"
#include "aws/gen/iam/list_instance_profiles_for_role.h"
#include "aws/gen/iam/list_role_tags.h"
#include "aws/gen/iam/list_roles.h"
#include "aws/gen/iam/tag_role.h"
#include "aws/gen/iam/untag_role.h"
#include "aws/gen/iam/update_assume_role_policy.h"
#include "aws/gen/iam/update_role.h"
#include "aws/iam/common.h"
#include "aws/page.h"
#include "aws/tags.h"
#include "base/id.h"
#include "base/strings.h"
#include "control/control.h"

namespace watari::aws::iam {
namespace {

Role to_wire(const model::Role& role) {
  Role out;
  out.Path = role.path;
  out.RoleName = role.name;
  out.RoleId = role.id;
  out.Arn = role.arn();
  out.CreateDate = role.created_at;
  out.AssumeRolePolicyDocument = encode_policy(role.trust_policy);
  if (!role.description.empty()) out.Description = role.description;
  out.MaxSessionDuration = role.max_session_seconds;
  out.Tags = to_wire_tags<Tag>(role.tags);
  return out;
}

}  // namespace

Result<CreateRoleResponse> create_role(Call& call, const CreateRoleRequest& request) {
  if (call.platform.control->state().roles.has(role_key(call, request.RoleName)))
    return error("EntityAlreadyExistsException", "Role with name {} already exists.", request.RoleName);
  TRY_VOID(check_policy(request.AssumeRolePolicyDocument));
  model::Role role{.account = call.scope.account, .name = request.RoleName, .path = request.Path.value_or("/")};
  role.id = "AROA";
  for (char c : random_hex(17)) role.id += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  role.trust_policy = request.AssumeRolePolicyDocument;
  role.description = request.Description.value_or("");
  role.max_session_seconds = request.MaxSessionDuration.value_or(3600);
  role.created_at = call.now;
  TRY_VOID(merge_tags(role.tags, request.Tags, "LimitExceededException"));
  TRY_VOID(put_role(call, role));
  return CreateRoleResponse{.Role = to_wire(role)};
}

Result<GetRoleResponse> get_role(Call& call, const GetRoleRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  return GetRoleResponse{.Role = to_wire(role)};
}

Result<ListRolesResponse> list_roles(Call& call, const ListRolesRequest& request) {
  auto prefix = request.PathPrefix.value_or("/");
  auto roles = matching(call.platform.control->state().roles, call.scope.account + "/", [&](const model::Role& role) { return role.path.starts_with(prefix); });
  TRY(auto page, paginate(call, std::move(roles), request.Marker, page_size(request.MaxItems, 100), &model::Role::name, "ValidationError"));
  ListRolesResponse response;
  for (const auto& role : page.items) response.Roles.push_back(to_wire(role));
  response.IsTruncated = page.next_token.has_value();
  response.Marker = page.next_token;
  return response;
}

Result<DeleteRoleResponse> delete_role(Call& call, const DeleteRoleRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  if (!role.attached_policies.empty() || !role.inline_policies.empty())
    return error("DeleteConflictException", "Cannot delete entity, must {} policies first.", role.attached_policies.empty() ? "delete" : "detach all");
  TRY_VOID(call.platform.control->commit([&]() -> Result<void> {
    call.platform.control->state().roles.erase(role_key(call, role.name));
    return {};
  }));
  return DeleteRoleResponse{};
}

Result<UpdateRoleResponse> update_role(Call& call, const UpdateRoleRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  role.description = request.Description.value_or(role.description);
  role.max_session_seconds = request.MaxSessionDuration.value_or(role.max_session_seconds);
  TRY_VOID(put_role(call, role));
  return UpdateRoleResponse{};
}

Result<UpdateAssumeRolePolicyResponse> update_assume_role_policy(Call& call, const UpdateAssumeRolePolicyRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  TRY_VOID(check_policy(request.PolicyDocument));
  role.trust_policy = request.PolicyDocument;
  TRY_VOID(put_role(call, role));
  return UpdateAssumeRolePolicyResponse{};
}

// There are no instances and so no profiles; Terraform asks before it deletes a role.
Result<ListInstanceProfilesForRoleResponse> list_instance_profiles_for_role(Call& call, const ListInstanceProfilesForRoleRequest& request) {
  TRY_VOID(find_role(call, request.RoleName));
  return ListInstanceProfilesForRoleResponse{};
}

Result<TagRoleResponse> tag_role(Call& call, const TagRoleRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  TRY_VOID(merge_tags(role.tags, request.Tags, "LimitExceededException"));
  TRY_VOID(put_role(call, role));
  return TagRoleResponse{};
}

Result<UntagRoleResponse> untag_role(Call& call, const UntagRoleRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  TRY_VOID(remove_tags(role.tags, request.TagKeys));
  TRY_VOID(put_role(call, role));
  return UntagRoleResponse{};
}

Result<ListRoleTagsResponse> list_role_tags(Call& call, const ListRoleTagsRequest& request) {
  TRY(auto role, find_role(call, request.RoleName));
  return ListRoleTagsResponse{.Tags = to_wire_tags<Tag>(role.tags)};
}

}  // namespace watari::aws::iam
