// AppSpecs that were registered with an application or deployed.
#include <algorithm>

#include "aws/codedeploy/app_spec.h"
#include "aws/codedeploy/wire.h"
#include "aws/gen/codedeploy/batch_get_application_revisions.h"
#include "aws/gen/codedeploy/get_application_revision.h"
#include "aws/gen/codedeploy/list_application_revisions.h"
#include "aws/gen/codedeploy/register_application_revision.h"
#include "aws/page.h"

namespace watari::aws::codedeploy {
namespace {

GenericRevisionInfo info_of(const model::CodeDeployRevision& revision) {
  GenericRevisionInfo out;
  if (!revision.description.empty()) out.description = revision.description;
  out.deploymentGroups = revision.groups;
  out.firstUsedTime = revision.first_used_at;
  out.lastUsedTime = revision.last_used_at;
  out.registerTime = revision.registered_at;
  return out;
}

std::optional<model::CodeDeployRevision> known(const Call& call, const model::CodeDeployRevision& revision) {
  return state(call).code_deploy_revisions.get(control::code_revision_key(call.scope, revision.application, revision.sha256));
}

}  // namespace

Result<RegisterApplicationRevisionResponse> register_application_revision(Call& call, const RegisterApplicationRevisionRequest& request) {
  TRY_VOID(find_application(call, request.applicationName));
  TRY(auto revision, revision_from_wire(call, request.applicationName, request.revision));
  TRY_VOID(parse_app_spec(revision.content));
  if (auto before = known(call, revision)) revision = *before;
  else revision.registered_at = call.now;
  revision.description = request.description.value_or(revision.description);
  return call.platform.control->commit([&]() -> Result<RegisterApplicationRevisionResponse> {
    state(call).code_deploy_revisions.put(control::code_revision_key(call.scope, revision.application, revision.sha256), revision);
    return RegisterApplicationRevisionResponse{};
  });
}

Result<GetApplicationRevisionResponse> get_application_revision(Call& call, const GetApplicationRevisionRequest& request) {
  TRY_VOID(find_application(call, request.applicationName));
  TRY(auto revision, revision_from_wire(call, request.applicationName, request.revision));
  auto found = known(call, revision);
  if (!found) return error("RevisionDoesNotExistException", "The application {} has no such revision.", request.applicationName);
  GetApplicationRevisionResponse response{.applicationName = request.applicationName};
  response.revision = to_wire(*found);
  response.revisionInfo = info_of(*found);
  return response;
}

Result<BatchGetApplicationRevisionsResponse> batch_get_application_revisions(Call& call, const BatchGetApplicationRevisionsRequest& request) {
  TRY_VOID(find_application(call, request.applicationName));
  if (request.revisions.size() > 25) return error("BatchLimitExceededException", "At most 25 revisions in one call.");
  BatchGetApplicationRevisionsResponse response{.applicationName = request.applicationName};
  for (const auto& location : request.revisions) {
    TRY(auto revision, revision_from_wire(call, request.applicationName, location));
    if (auto found = known(call, revision)) response.revisions.push_back({.revisionLocation = to_wire(*found), .genericRevisionInfo = info_of(*found)});
  }
  return response;
}

Result<ListApplicationRevisionsResponse> list_application_revisions(Call& call, const ListApplicationRevisionsRequest& request) {
  TRY_VOID(find_application(call, request.applicationName));
  auto deployed = request.deployed.value_or("ignore");
  auto prefix = control::group_prefix(call.scope, request.applicationName);
  auto found = matching(state(call).code_deploy_revisions, prefix, [&](const model::CodeDeployRevision& revision) {
    return deployed == "ignore" || revision.last_used_at.has_value() == (deployed == "include");
  });
  auto sort_by = request.sortBy.value_or("registerTime");
  bool descending = request.sortOrder == "descending";
  auto key = [&](const model::CodeDeployRevision& revision) {
    auto at = sort_by == "firstUsedTime" ? revision.first_used_at.value_or(Time{})
              : sort_by == "lastUsedTime" ? revision.last_used_at.value_or(Time{})
                                          : revision.registered_at;
    return descending ? newest_first(at, revision.sha256) : fmt::format("{:015}-{}", at.time_since_epoch().count(), revision.sha256);
  };
  std::ranges::sort(found, {}, key);
  TRY(auto page, paginate(call, std::move(found), request.nextToken, 100, key, "InvalidNextTokenException"));
  ListApplicationRevisionsResponse response;
  response.nextToken = std::move(page.next_token);
  for (const auto& revision : page.items) response.revisions.push_back(to_wire(revision));
  return response;
}

}  // namespace watari::aws::codedeploy
