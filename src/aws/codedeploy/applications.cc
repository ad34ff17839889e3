// Applications, and the tags of applications and deployment groups.
#include <algorithm>

#include "aws/codedeploy/wire.h"
#include "aws/gen/codedeploy/batch_get_applications.h"
#include "aws/gen/codedeploy/create_application.h"
#include "aws/gen/codedeploy/delete_application.h"
#include "aws/gen/codedeploy/get_application.h"
#include "aws/gen/codedeploy/list_applications.h"
#include "aws/gen/codedeploy/list_tags_for_resource.h"
#include "aws/gen/codedeploy/tag_resource.h"
#include "aws/gen/codedeploy/untag_resource.h"
#include "aws/gen/codedeploy/update_application.h"
#include "aws/page.h"
#include "base/strings.h"

namespace watari::aws::codedeploy {
namespace {

ApplicationInfo to_wire(const model::CodeDeployApplication& application) {
  return {.applicationId = application.id, .applicationName = application.name, .createTime = application.created_at,
          .linkedToGitHub = false, .computePlatform = "ECS"};
}

// Lets `change` have the tags of an "arn:aws:codedeploy:REGION:ACCOUNT:application:NAME" or "…:deploymentgroup:NAME/GROUP".
template <class Change>
Result<void> change_tags(Call& call, const std::string& arn, Change&& change) {
  auto& control = *call.platform.control;
  auto prefix = fmt::format("arn:aws:codedeploy:{}:{}:", call.scope.region, call.scope.account);
  if (!arn.starts_with(prefix)) return error("InvalidArnException", "{} is not the ARN of an application or deployment group here.", arn);
  auto rest = arn.substr(prefix.size());
  auto write = [&](auto& table, const std::string& key, auto object) -> Result<void> {
    return control.commit([&]() -> Result<void> {
      TRY_VOID(change(object.tags));
      table.put(key, object);
      return {};
    });
  };
  if (rest.starts_with("application:")) {
    TRY(auto application, find_application(call, rest.substr(12)));
    return write(state(call).code_deploy_applications, control::application_key(call.scope, application.name), application);
  }
  auto slash = rest.find('/');
  if (rest.starts_with("deploymentgroup:") && slash != std::string::npos) {
    TRY(auto group, find_group(call, rest.substr(16, slash - 16), rest.substr(slash + 1)));
    return write(state(call).code_deploy_groups, control::group_key(call.scope, group.application, group.name), group);
  }
  return error("ArnNotSupportedException", "{} names neither an application nor a deployment group.", arn);
}

// The application's groups and revisions under another name (or none).
void move_application(Call& call, const std::string& from, const std::string& to) {
  for (auto group : groups_of(call, from)) {
    state(call).code_deploy_groups.erase(control::group_key(call.scope, from, group.name));
    group.application = to;
    if (!to.empty()) state(call).code_deploy_groups.put(control::group_key(call.scope, to, group.name), group);
  }
  std::vector<model::CodeDeployRevision> revisions;
  state(call).code_deploy_revisions.each(control::group_prefix(call.scope, from), [&](const auto&, const auto& one) { revisions.push_back(one); });
  for (auto& revision : revisions) {
    state(call).code_deploy_revisions.erase(control::code_revision_key(call.scope, from, revision.sha256));
    revision.application = to;
    if (!to.empty()) state(call).code_deploy_revisions.put(control::code_revision_key(call.scope, to, revision.sha256), revision);
  }
}

}  // namespace

Result<CreateApplicationResponse> create_application(Call& call, const CreateApplicationRequest& request) {
  TRY_VOID(check_name(request.applicationName, "Application"));
  if (!request.computePlatform)
    return error("InvalidComputePlatformException", "computePlatform 'Server' is not supported by Watari; use ECS");
  auto key = control::application_key(call.scope, request.applicationName);
  if (state(call).code_deploy_applications.has(key))
    return error("ApplicationAlreadyExistsException", "Application already exists: {}", request.applicationName);
  model::CodeDeployApplication application{.scope = call.scope, .id = new_id(), .name = request.applicationName, .created_at = call.now};
  TRY(application.tags, tags_from_wire(request.tags));
  return call.platform.control->commit([&]() -> Result<CreateApplicationResponse> {
    state(call).code_deploy_applications.put(key, application);
    return CreateApplicationResponse{.applicationId = application.id};
  });
}

Result<GetApplicationResponse> get_application(Call& call, const GetApplicationRequest& request) {
  TRY(auto application, find_application(call, request.applicationName));
  return GetApplicationResponse{.application = to_wire(application)};
}

Result<BatchGetApplicationsResponse> batch_get_applications(Call& call, const BatchGetApplicationsRequest& request) {
  if (request.applicationNames.size() > 100) return error("BatchLimitExceededException", "At most 100 applications in one call.");
  BatchGetApplicationsResponse response;
  for (const auto& name : request.applicationNames)
    if (auto application = find_application(call, name)) response.applicationsInfo.push_back(to_wire(*application));
  return response;
}

Result<ListApplicationsResponse> list_applications(Call& call, const ListApplicationsRequest& request) {
  std::vector<std::string> names;
  state(call).code_deploy_applications.each(control::scope_prefix(call.scope),
                                            [&](const auto&, const model::CodeDeployApplication& one) { names.push_back(one.name); });
  TRY(auto page, paginate(call, std::move(names), request.nextToken, 100, std::identity{}, "InvalidNextTokenException"));
  return ListApplicationsResponse{.applications = std::move(page.items), .nextToken = std::move(page.next_token)};
}

Result<UpdateApplicationResponse> update_application(Call& call, const UpdateApplicationRequest& request) {
  auto from = request.applicationName.value_or(""), to = request.newApplicationName.value_or(from);
  TRY(auto application, find_application(call, from));
  if (to == from) return UpdateApplicationResponse{};
  TRY_VOID(check_name(to, "Application"));
  auto key = control::application_key(call.scope, to);
  if (state(call).code_deploy_applications.has(key)) return error("ApplicationAlreadyExistsException", "Application already exists: {}", to);
  return call.platform.control->commit([&]() -> Result<UpdateApplicationResponse> {
    move_application(call, from, to);
    state(call).code_deploy_applications.erase(control::application_key(call.scope, from));
    application.name = to;
    state(call).code_deploy_applications.put(key, application);
    return UpdateApplicationResponse{};
  });
}

Result<DeleteApplicationResponse> delete_application(Call& call, const DeleteApplicationRequest& request) {
  return call.platform.control->commit([&]() -> Result<DeleteApplicationResponse> {
    auto key = control::application_key(call.scope, request.applicationName);
    if (!state(call).code_deploy_applications.has(key)) return DeleteApplicationResponse{};  // as AWS: no error
    move_application(call, request.applicationName, "");
    state(call).code_deploy_applications.erase(key);
    return DeleteApplicationResponse{};
  });
}

Result<TagResourceResponse> tag_resource(Call& call, const TagResourceRequest& request) {
  TRY_VOID(tags_from_wire(request.Tags));
  TRY_VOID(change_tags(call, request.ResourceArn, [&](auto& tags) { return merge_tags(tags, request.Tags, "InvalidTagsToAddException"); }));
  return TagResourceResponse{};
}

Result<UntagResourceResponse> untag_resource(Call& call, const UntagResourceRequest& request) {
  TRY_VOID(change_tags(call, request.ResourceArn, [&](auto& tags) { return remove_tags(tags, request.TagKeys); }));
  return UntagResourceResponse{};
}

Result<ListTagsForResourceResponse> list_tags_for_resource(Call& call, const ListTagsForResourceRequest& request) {
  ListTagsForResourceResponse response;
  TRY_VOID(change_tags(call, request.ResourceArn, [&](std::vector<model::Tag>& tags) -> Result<void> {
    response.Tags = to_wire_tags<Tag>(tags);
    return {};
  }));
  return response;
}

}  // namespace watari::aws::codedeploy
