#include <algorithm>

#include "aws/ecs/task_shapes.h"
#include "aws/ecs/wire.h"
#include "aws/gen/ecs/describe_tasks.h"
#include "aws/gen/ecs/list_tasks.h"
#include "aws/page.h"

namespace watari::aws::ecs {

Result<DescribeTasksResponse> describe_tasks(Call& call, const DescribeTasksRequest& request) {
  TRY(auto cluster, find_cluster(call, request.cluster));
  if (request.tasks.empty() || request.tasks.size() > 100)
    return error("InvalidParameterException", "Describe 1 to 100 tasks in one call; {} were given.", request.tasks.size());
  bool with_tags = std::ranges::count(request.include, "TAGS") > 0;
  auto& state = call.platform.control->state();
  DescribeTasksResponse response;
  for (const auto& text : request.tasks) {
    TRY(auto id, task_id(call.scope, cluster.name, text));
    auto task = state.tasks.get(control::task_key(call.scope, cluster.name, id));
    if (task) response.tasks.push_back(describe_task(state, *task, with_tags));
    else response.failures.push_back({.arn = arn(call.scope, "task", cluster.name + "/" + id), .reason = "MISSING"});
  }
  return response;
}

// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html (desiredStatus defaults to RUNNING)
Result<ListTasksResponse> list_tasks(Call& call, const ListTasksRequest& request) {
  TRY(auto cluster, find_cluster(call, request.cluster));
  auto& state = call.platform.control->state();
  std::string service;
  if (request.serviceName) {
    TRY(service, service_name(call.scope, cluster.name, *request.serviceName));
    if (!state.services.has(control::service_key(call.scope, cluster.name, service)))
      return error("ServiceNotFoundException", "Service not found.");
  }
  bool stopped = request.desiredStatus.value_or("RUNNING") == "STOPPED";
  std::vector<std::string> arns;
  state.tasks.each(control::cluster_key(call.scope, cluster.name) + "/", [&](const auto&, const model::Task& task) {
    bool is_stopped = task.desired_stopped || task.status.state >= model::TaskState::Stopping;
    if (is_stopped != stopped || (request.serviceName && task.service != service)) return;
    if ((request.family && task.family != *request.family) || (request.startedBy && task.started_by != *request.startedBy)) return;
    if (request.launchType && task.launch_type != *request.launchType) return;
    arns.push_back(task_arn(task));
  });
  TRY(auto limit, page_limit(request.maxResults, 100));
  TRY(auto page, paginate(call, std::move(arns), request.nextToken, limit,
                          std::identity{}, "InvalidParameterException"));
  return ListTasksResponse{.taskArns = std::move(page.items), .nextToken = std::move(page.next_token)};
}

}  // namespace watari::aws::ecs
