// Who calls, and temporary keys of roles. Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
#include <algorithm>

#include "aws/credentials.h"
#include "aws/gen/sts/assume_role.h"
#include "aws/gen/sts/get_caller_identity.h"
#include "control/control.h"

namespace watari::aws::sts {
namespace {

// "arn:aws:iam::123456789012:role/path/name" of this account -> name
std::string role_name(const Call& call, const std::string& arn) {
  auto prefix = "arn:aws:iam::" + call.scope.account + ":role/";
  return arn.starts_with(prefix) ? arn.substr(arn.rfind('/') + 1) : "";
}

}  // namespace

Result<GetCallerIdentityResponse> get_caller_identity(Call& call, const GetCallerIdentityRequest&) {
  return GetCallerIdentityResponse{.UserId = call.user_id, .Account = call.scope.account, .Arn = call.principal};
}

// A session's keys sign like root's: roles' policies are not enforced.
Result<AssumeRoleResponse> assume_role(Call& call, const AssumeRoleRequest& request) {
  const auto& roles = call.platform.control->state().roles;
  const auto* role = roles.find(call.scope.account + "/" + role_name(call, request.RoleArn));
  if (!role || role->arn() != request.RoleArn)
    return error("AccessDenied", "User: {} is not authorized to perform: sts:AssumeRole on resource: {} (there is no such role; create it with `aws iam create-role`)",
                 call.principal, request.RoleArn);
  auto duration = request.DurationSeconds.value_or(std::min(3600, role->max_session_seconds));
  if (duration > role->max_session_seconds)
    return error("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.");
  auto user_id = role->id + ":" + request.RoleSessionName;
  auto arn = fmt::format("arn:aws:sts::{}:assumed-role/{}/{}", call.scope.account, role->name, request.RoleSessionName);
  auto session = call.platform.credentials->make_session({call.scope.account, user_id, arn}, call.now + Seconds(duration));
  AssumeRoleResponse response;
  Credentials credentials;
  credentials.AccessKeyId = session.access_key_id;
  credentials.SecretAccessKey = session.secret;
  credentials.SessionToken = session.token;
  credentials.Expiration = session.expires_at;
  response.Credentials = credentials;
  AssumedRoleUser user;
  user.AssumedRoleId = user_id;
  user.Arn = arn;
  response.AssumedRoleUser = user;
  return response;
}

}  // namespace watari::aws::sts
