// What the load balancer counted while deployments shifted traffic.
#include <algorithm>

#include "aws/ecs/service_shapes.h"
#include "aws/gen/watari/describe_traffic.h"
#include "aws/watari/services.h"
#include "balancer/counters.h"
#include "control/services.h"

namespace watari::aws::watari {
namespace {

RevisionTraffic to_wire(const model::ServiceRevision& revision, const model::Traffic& traffic) {
  RevisionTraffic out;
  out.taskDefinition = fmt::format("{}:{}", revision.family, revision.revision);
  out.requests = traffic.requests;
  out.failures = traffic.failures;
  out.failedPercent = traffic.requests ? 100.0 * static_cast<double>(traffic.failures) / static_cast<double>(traffic.requests) : 0;
  balancer::LatencyHistogram latency;
  for (std::size_t i = 0; i < std::min(traffic.latency.size(), latency.counts.size()); ++i) latency.counts[i] = static_cast<std::uint64_t>(traffic.latency[i]);
  if (latency.total()) {  // while the new processes warm up nothing is timed
    out.p50Milliseconds = latency.quantile(0.5);
    out.p99Milliseconds = latency.quantile(0.99);
  }
  return out;
}

DeploymentTraffic to_wire(const model::Deployment& deployment) {
  DeploymentTraffic out;
  out.serviceDeploymentArn = ecs::deployment_arn(deployment);
  out.status = std::string(name_of(deployment.status));
  out.stage = std::string(name_of(deployment.stage));
  out.strategy = std::string(name_of(deployment.configuration.strategy));
  out.trafficPercent = deployment.production_weight;
  out.judged = deployment.verdict.enabled;
  out.looks = deployment.verdict.looks;
  out.countedAt = deployment.verdict.counted_at;
  out.target = to_wire(deployment.target, deployment.verdict.target);
  if (deployment.source) out.source = to_wire(*deployment.source, deployment.verdict.source);
  return out;
}

}  // namespace

Result<DescribeTrafficResponse> describe_traffic(Call& call, const DescribeTrafficRequest& request) {
  TRY(auto service, find_service(call, request.cluster, request.service));
  auto all = control::deployments_of(call.platform.control->state(), service);
  DescribeTrafficResponse response;
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    if (static_cast<int>(response.deployments.size()) == request.limit.value_or(20)) break;
    // A rolling one moves targets, not traffic: there is nothing to compare.
    if (at->configuration.strategy != model::Strategy::Rolling && at->source) response.deployments.push_back(to_wire(*at));
  }
  return response;
}

}  // namespace watari::aws::watari
