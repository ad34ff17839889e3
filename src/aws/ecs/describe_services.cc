// Looking at services, their deployments and revisions.
#include <algorithm>

#include "aws/ecs/service_shapes.h"
#include "aws/ecs/wire.h"
#include "aws/gen/ecs/describe_service_deployments.h"
#include "aws/gen/ecs/describe_service_revisions.h"
#include "aws/gen/ecs/describe_services.h"
#include "aws/gen/ecs/list_service_deployments.h"
#include "aws/gen/ecs/list_services.h"
#include "aws/page.h"
#include "base/strings.h"

namespace watari::aws::ecs {
namespace {

// Calls visit(deployment) for every deployment of the service that an ARN "…/<cluster>/<service>/<id>" names.
template <class Visit>
Result<void> each_deployment_near(Call& call, std::string_view kind, const std::string& arn_text, Visit&& visit) {
  TRY(auto name, resource_name(call.scope, kind, arn_text));
  auto parts = split(name, '/');
  if (parts.size() != 3) return error("InvalidParameterException", "{} is not the ARN of a {}.", arn_text, kind);
  model::Service service{.scope = call.scope, .cluster = parts[0], .name = parts[1]};
  call.platform.control->state().deployments.each(control::deployment_prefix(service),
                                                  [&](const auto&, const model::Deployment& deployment) { visit(deployment); });
  return {};
}

}  // namespace

Result<DescribeServicesResponse> describe_services(Call& call, const DescribeServicesRequest& request) {
  TRY(auto cluster, find_cluster(call, request.cluster));
  if (request.services.empty() || request.services.size() > 10)
    return error("InvalidParameterException", "Describe 1 to 10 services in one call; {} were given.", request.services.size());
  bool with_tags = std::ranges::count(request.include, "TAGS") > 0;
  DescribeServicesResponse response;
  for (const auto& text : request.services) {
    TRY(auto name, service_name(call.scope, cluster.name, text));
    auto service = call.platform.control->state().services.get(control::service_key(call.scope, cluster.name, name));
    if (service) response.services.push_back(describe_service(call.platform.control->state(), *service, with_tags));
    else response.failures.push_back({.arn = arn(call.scope, "service", cluster.name + "/" + name), .reason = "MISSING"});
  }
  return response;
}

Result<ListServicesResponse> list_services(Call& call, const ListServicesRequest& request) {
  TRY(auto cluster, find_cluster(call, request.cluster));
  std::vector<std::string> arns;
  call.platform.control->state().services.each(
      control::cluster_key(call.scope, cluster.name) + "/", [&](const auto&, const model::Service& service) {
        if (service.status != "INACTIVE" && (!request.launchType || *request.launchType == service.target.launch_type))
          arns.push_back(service_arn(service));
      });
  TRY(auto limit, page_limit(request.maxResults, 10));
  TRY(auto page, paginate(call, std::move(arns), request.nextToken, limit,
                          std::identity{}, "InvalidParameterException"));
  return ListServicesResponse{.serviceArns = std::move(page.items), .nextToken = std::move(page.next_token)};
}

Result<ListServiceDeploymentsResponse> list_service_deployments(Call& call, const ListServiceDeploymentsRequest& request) {
  TRY(auto cluster, find_cluster(call, request.cluster));
  TRY(auto name, service_name(call.scope, cluster.name, request.service));
  auto service = call.platform.control->state().services.get(control::service_key(call.scope, cluster.name, name));
  if (!service) return error("ServiceNotFoundException", "Service not found.");
  auto found = matching(call.platform.control->state().deployments, control::deployment_prefix(*service), [&](const model::Deployment& deployment) {
    if (request.createdAt && request.createdAt->after && deployment.created_at < *request.createdAt->after) return false;
    if (request.createdAt && request.createdAt->before && deployment.created_at > *request.createdAt->before) return false;
    return among(request.status, std::string(name_of(deployment.status)));
  });
  auto key = [](const model::Deployment& deployment) { return newest_first(deployment.created_at, deployment.id); };
  std::ranges::sort(found, {}, key);
  TRY(auto limit, page_limit(request.maxResults, 20));
  TRY(auto page, paginate(call, std::move(found), request.nextToken, limit, key, "InvalidParameterException"));
  ListServiceDeploymentsResponse response{.nextToken = std::move(page.next_token)};
  for (const auto& deployment : page.items) response.serviceDeployments.push_back(summarise_deployment(deployment));
  return response;
}

Result<DescribeServiceDeploymentsResponse> describe_service_deployments(Call& call, const DescribeServiceDeploymentsRequest& request) {
  if (request.serviceDeploymentArns.size() > 20)
    return error("InvalidParameterException", "Describe at most 20 service deployments in one call; {} were given.", request.serviceDeploymentArns.size());
  DescribeServiceDeploymentsResponse response;
  for (const auto& wanted : request.serviceDeploymentArns) {
    bool found = false;
    TRY_VOID(each_deployment_near(call, "service-deployment", wanted, [&](const model::Deployment& deployment) {
      if (deployment_arn(deployment) != wanted) return;
      found = true;
      response.serviceDeployments.push_back(describe_deployment(call.platform.control->state(), deployment));
    }));
    if (!found) response.failures.push_back({.arn = wanted, .reason = "MISSING"});
  }
  return response;
}

Result<DescribeServiceRevisionsResponse> describe_service_revisions(Call& call, const DescribeServiceRevisionsRequest& request) {
  if (request.serviceRevisionArns.size() > 20)
    return error("InvalidParameterException", "Describe at most 20 service revisions in one call; {} were given.", request.serviceRevisionArns.size());
  DescribeServiceRevisionsResponse response;
  for (const auto& wanted : request.serviceRevisionArns) {
    bool found = false;
    TRY_VOID(each_deployment_near(call, "service-revision", wanted, [&](const model::Deployment& deployment) {
      if (found || revision_arn(deployment, deployment.target) != wanted) return;
      found = true;
      response.serviceRevisions.push_back(describe_revision(call.platform.control->state(), deployment, deployment.target));
    }));
    if (!found) response.failures.push_back({.arn = wanted, .reason = "MISSING"});
  }
  return response;
}

}  // namespace watari::aws::ecs
