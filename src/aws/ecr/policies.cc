// Repository policies and lifecycle policies.
#include <algorithm>

#include "async/pool.h"
#include "aws/ecr/wire.h"
#include "aws/gen/ecr/delete_lifecycle_policy.h"
#include "aws/gen/ecr/delete_repository_policy.h"
#include "aws/gen/ecr/get_lifecycle_policy.h"
#include "aws/gen/ecr/get_lifecycle_policy_preview.h"
#include "aws/gen/ecr/get_repository_policy.h"
#include "aws/gen/ecr/put_lifecycle_policy.h"
#include "aws/gen/ecr/set_repository_policy.h"
#include "aws/gen/ecr/start_lifecycle_policy_preview.h"
#include "aws/page.h"
#include "registry/lifecycle.h"
#include "registry/policy.h"

namespace watari::aws::ecr {

namespace {

// What every answer of this file begins with.
template <class Response>
Response answer_for(const Call& call, const std::string& repository) {
  Response out;
  out.registryId = call.scope.account;
  out.repositoryName = repository;
  return out;
}

auto no_policy(const Call& call, const std::string& repository) {
  return error("RepositoryPolicyNotFoundException", "Repository policy does not exist for the repository with name '{}' in the registry with id '{}'", repository,
               call.scope.account);
}

auto no_lifecycle(const Call& call, const std::string& repository) {
  return error("LifecyclePolicyNotFoundException", "Lifecycle policy does not exist for the repository with name '{}' in the registry with id '{}'", repository,
               call.scope.account);
}

Result<void> change(Call& call, const std::string& repository, const std::function<void(oci::RepositorySettings&)>& how) {
  return call.platform.images->repositories().update(repository, how);
}

}  // namespace

Result<SetRepositoryPolicyResponse> set_repository_policy(Call& call, const SetRepositoryPolicyRequest& request) {
  TRY_VOID(find_repository(call, request.registryId, request.repositoryName));
  TRY_VOID(registry::check_policy(request.policyText));
  const bool locks_out = registry::denies(request.policyText, policy_request(call, "ecr:SetRepositoryPolicy"));
  if (locks_out && !request.force.value_or(false))
    return error("InvalidParameterException", "Invalid parameter at 'PolicyText': the policy would keep you from setting another one in the future; add --force if that is meant");
  TRY_VOID(change(call, request.repositoryName, [&](auto& settings) { settings.policy = request.policyText; }));
  auto out = answer_for<SetRepositoryPolicyResponse>(call, request.repositoryName);
  out.policyText = request.policyText;
  return out;
}

Result<GetRepositoryPolicyResponse> get_repository_policy(Call& call, const GetRepositoryPolicyRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  if (settings.policy.empty()) return no_policy(call, request.repositoryName);
  auto out = answer_for<GetRepositoryPolicyResponse>(call, request.repositoryName);
  out.policyText = settings.policy;
  return out;
}

Result<DeleteRepositoryPolicyResponse> delete_repository_policy(Call& call, const DeleteRepositoryPolicyRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  if (settings.policy.empty()) return no_policy(call, request.repositoryName);
  TRY_VOID(change(call, request.repositoryName, [](auto& stored) { stored.policy.clear(); }));
  auto out = answer_for<DeleteRepositoryPolicyResponse>(call, request.repositoryName);
  out.policyText = settings.policy;
  return out;
}

Result<PutLifecyclePolicyResponse> put_lifecycle_policy(Call& call, const PutLifecyclePolicyRequest& request) {
  TRY_VOID(find_repository(call, request.registryId, request.repositoryName));
  TRY_VOID(registry::parse_lifecycle(request.lifecyclePolicyText));
  TRY_VOID(change(call, request.repositoryName, [&](auto& settings) { settings.lifecycle_policy = request.lifecyclePolicyText; }));
  call.platform.pool.post([images = call.platform.images, &clock = call.platform.clock, repository = request.repositoryName] {
    registry::expire_images(*images, clock.now(), repository);
  });
  auto out = answer_for<PutLifecyclePolicyResponse>(call, request.repositoryName);
  out.lifecyclePolicyText = request.lifecyclePolicyText;
  return out;
}

Result<GetLifecyclePolicyResponse> get_lifecycle_policy(Call& call, const GetLifecyclePolicyRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  if (settings.lifecycle_policy.empty()) return no_lifecycle(call, request.repositoryName);
  auto out = answer_for<GetLifecyclePolicyResponse>(call, request.repositoryName);
  out.lifecyclePolicyText = settings.lifecycle_policy;
  out.lastEvaluatedAt = settings.lifecycle_evaluated_at;
  return out;
}

Result<DeleteLifecyclePolicyResponse> delete_lifecycle_policy(Call& call, const DeleteLifecyclePolicyRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  if (settings.lifecycle_policy.empty()) return no_lifecycle(call, request.repositoryName);
  TRY_VOID(change(call, request.repositoryName, [](auto& stored) { stored.lifecycle_policy.clear(); }));
  auto out = answer_for<DeleteLifecyclePolicyResponse>(call, request.repositoryName);
  out.lifecyclePolicyText = settings.lifecycle_policy;
  out.lastEvaluatedAt = settings.lifecycle_evaluated_at;
  return out;
}

// A preview is made when it is read, so it is always complete, and of the images as they are then.
Result<StartLifecyclePolicyPreviewResponse> start_lifecycle_policy_preview(Call& call, const StartLifecyclePolicyPreviewRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  const auto text = request.lifecyclePolicyText.value_or(settings.lifecycle_policy);
  if (text.empty()) return no_lifecycle(call, request.repositoryName);
  TRY_VOID(registry::parse_lifecycle(text));
  TRY_VOID(change(call, request.repositoryName, [&](auto& stored) { stored.lifecycle_preview = text; }));
  auto out = answer_for<StartLifecyclePolicyPreviewResponse>(call, request.repositoryName);
  out.lifecyclePolicyText = text;
  out.status = "IN_PROGRESS";
  return out;
}

Result<GetLifecyclePolicyPreviewResponse> get_lifecycle_policy_preview(Call& call, const GetLifecyclePolicyPreviewRequest& request) {
  TRY(auto settings, find_repository(call, request.registryId, request.repositoryName));
  if (settings.lifecycle_preview.empty())
    return error("LifecyclePolicyPreviewNotFoundException", "There is no lifecycle policy preview for the repository with name '{}' in the registry with id '{}'",
                 request.repositoryName, call.scope.account);
  TRY(auto policy, registry::parse_lifecycle(settings.lifecycle_preview));
  auto found = registry::expiring(policy, registry::lifecycle_images(*call.platform.images, request.repositoryName), call.now);
  auto out = answer_for<GetLifecyclePolicyPreviewResponse>(call, request.repositoryName);
  out.lifecyclePolicyText = settings.lifecycle_preview;
  out.status = "COMPLETE";
  out.summary.emplace().expiringImageTotalCount = static_cast<int>(found.size());
  const auto status = request.filter ? request.filter->tagStatus.value_or("ANY") : "ANY";
  std::erase_if(found, [&](const registry::Expiring& item) {
    const bool asked = request.imageIds.empty() || std::ranges::any_of(request.imageIds, [&](const auto& id) {
                         return (id.imageDigest && *id.imageDigest == item.image.digest) || (id.imageTag && std::ranges::count(item.image.tags, *id.imageTag) > 0);
                       });
    return !asked || (status != "ANY" && (status == "TAGGED") == item.image.tags.empty());
  });
  const auto key = [](const registry::Expiring& item) { return item.image.digest; };
  std::ranges::sort(found, {}, key);
  TRY(auto page, paginate(call, std::move(found), request.nextToken, page_size(request.maxResults, 100), key, "InvalidParameterException"));
  for (auto& item : page.items) {
    LifecyclePolicyPreviewResult result;
    result.imageTags = std::move(item.image.tags);
    result.imageDigest = item.image.digest;
    result.imagePushedAt = item.image.pushed_at;
    result.action = LifecyclePolicyRuleAction{.type = "EXPIRE"};
    result.appliedRulePriority = item.rule_priority;
    result.storageClass = "STANDARD";
    out.previewResults.push_back(std::move(result));
  }
  out.nextToken = page.next_token;
  return out;
}

}  // namespace watari::aws::ecr
