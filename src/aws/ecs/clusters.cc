#include <algorithm>

#include "aws/ecs/wire.h"
#include "aws/gen/ecs/create_cluster.h"
#include "aws/gen/ecs/delete_cluster.h"
#include "aws/gen/ecs/describe_clusters.h"
#include "aws/gen/ecs/list_clusters.h"
#include "aws/page.h"

namespace watari::aws::ecs {
namespace {

bool valid_name(std::string_view name) {
  auto fine = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; };
  return !name.empty() && name.size() <= 255 && std::all_of(name.begin(), name.end(), fine);
}

Cluster to_wire(Call& call, const model::Cluster& cluster) {
  Cluster out{.clusterArn = cluster_arn(cluster.scope, cluster.name), .clusterName = cluster.name, .status = cluster.status};
  int running = 0, pending = 0, services = 0;
  auto& state = call.platform.control->state();
  auto prefix = control::cluster_key(cluster.scope, cluster.name) + "/";
  state.tasks.each(prefix, [&](const auto&, const model::Task& task) {
    if (task.status.state == model::TaskState::Running) ++running;
    if (task.status.state < model::TaskState::Running) ++pending;
  });
  state.services.each(prefix, [&](const auto&, const model::Service& service) { services += service.status == "ACTIVE"; });
  out.registeredContainerInstancesCount = 0;
  out.runningTasksCount = running;
  out.pendingTasksCount = pending;
  out.activeServicesCount = services;
  out.tags = tags_to_wire(cluster.tags);
  for (const auto& [name, value] : cluster.settings) out.settings.push_back({.name = name, .value = value});
  return out;
}

}  // namespace

// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html (an existing one is returned)
Result<CreateClusterResponse> create_cluster(Call& call, const CreateClusterRequest& request) {
  auto name = request.clusterName.value_or("default");
  if (!valid_name(name))
    return error("InvalidParameterException", "Identifier contains invalid characters: {}. Use letters, digits, '-' and '_'.", name);
  auto& control = *call.platform.control;
  auto key = control::cluster_key(call.scope, name);
  TRY(auto cluster, control.commit([&]() -> Result<model::Cluster> {
    auto made = control.state().clusters.get(key).value_or(model::Cluster{.scope = call.scope, .name = name, .created_at = call.now});
    made.status = "ACTIVE";
    if (call.given("tags")) {
      TRY(made.tags, tags_from_wire(request.tags));
    }
    for (const auto& setting : request.settings) made.settings[setting.name.value_or("")] = setting.value.value_or("");
    control.state().clusters.put(key, made);
    return made;
  }));
  return CreateClusterResponse{.cluster = to_wire(call, cluster)};
}

Result<DescribeClustersResponse> describe_clusters(Call& call, const DescribeClustersRequest& request) {
  DescribeClustersResponse response;
  auto wanted = request.clusters;
  if (wanted.empty()) wanted.push_back("default");
  for (const auto& text : wanted) {
    TRY(auto name, cluster_name(call.scope, text));
    if (name == "default") TRY_VOID(control::ensure_cluster(*call.platform.control, call.scope, name));
    auto found = call.platform.control->state().clusters.get(control::cluster_key(call.scope, name));
    if (found) response.clusters.push_back(to_wire(call, *found));
    else response.failures.push_back({.arn = cluster_arn(call.scope, name), .reason = "MISSING"});
  }
  return response;
}

Result<ListClustersResponse> list_clusters(Call& call, const ListClustersRequest& request) {
  TRY_VOID(control::ensure_cluster(*call.platform.control, call.scope, "default"));
  std::vector<std::string> arns;
  call.platform.control->state().clusters.each(control::scope_prefix(call.scope), [&](const auto&, const model::Cluster& cluster) {
    if (cluster.status == "ACTIVE") arns.push_back(cluster_arn(cluster.scope, cluster.name));
  });
  TRY(auto limit, page_limit(request.maxResults, 100));
  TRY(auto page, paginate(call, std::move(arns), request.nextToken, limit,
                          std::identity{}, "InvalidParameterException"));
  return ListClustersResponse{.clusterArns = std::move(page.items), .nextToken = std::move(page.next_token)};
}

Result<DeleteClusterResponse> delete_cluster(Call& call, const DeleteClusterRequest& request) {
  TRY(auto cluster, find_cluster(call, request.cluster));
  auto& control = *call.platform.control;
  auto wire = to_wire(call, cluster);
  if (wire.activeServicesCount.value_or(0) > 0)
    return error("ClusterContainsServicesException",
                 "The cluster cannot be deleted while services are active. Delete its services first.");
  if (wire.runningTasksCount.value_or(0) + wire.pendingTasksCount.value_or(0) > 0)
    return error("ClusterContainsTasksException",
                 "The cluster cannot be deleted while tasks are active. Stop its tasks first.");
  TRY_VOID(control.commit([&]() -> Result<void> {
    cluster.status = "INACTIVE";
    control.state().clusters.put(control::cluster_key(call.scope, cluster.name), cluster);
    return {};
  }));
  wire.status = "INACTIVE";
  return DeleteClusterResponse{.cluster = wire};
}

}  // namespace watari::aws::ecs
