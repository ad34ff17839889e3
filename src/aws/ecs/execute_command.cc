// Terminals in running containers. Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ExecuteCommand.html
#include "aws/ecs/names.h"
#include "aws/ecs/wire.h"
#include "aws/gen/ecs/discover_poll_endpoint.h"
#include "aws/gen/ecs/execute_command.h"
#include "aws/terminals.h"
#include "base/words.h"
#include "control/control.h"

namespace watari::aws::ecs {

// Where clients that enter containers find the session's service: here, like everything.
Result<DiscoverPollEndpointResponse> discover_poll_endpoint(Call& call, const DiscoverPollEndpointRequest&) {
  DiscoverPollEndpointResponse response;
  response.endpoint = fmt::format("{}://{}/", call.secure ? "https" : "http", call.host);
  response.telemetryEndpoint = response.endpoint;
  return response;
}

Result<ExecuteCommandResponse> execute_command(Call& call, const ExecuteCommandRequest& request) {
  if (!request.interactive) return error("InvalidParameterException", "Interactive is the only mode supported currently.");
  TRY(auto cluster, find_cluster(call, request.cluster));
  TRY(auto id, task_id(call.scope, cluster.name, request.task));
  const auto* task = call.platform.control->state().tasks.find(control::task_key(call.scope, cluster.name, id));
  if (!task) return error("InvalidParameterException", "The referenced task was not found.");
  TRY(auto container, exec_container(*task, request.container.value_or("")));
  // Words, as the agent splits them: no shell in between.
  auto words = split_words(request.command);
  if (!words || words->empty()) return error("InvalidParameterException", "The command is empty or has a quote that is not closed: {}", request.command);
  TRY(auto session, open_session(call, *task, container, *std::move(words)));
  ExecuteCommandResponse response;
  response.clusterArn = cluster_arn(call.scope, cluster.name);
  response.containerArn = arn(call.scope, "container", cluster.name + "/" + task->id + "/" + container);
  response.containerName = container;
  response.interactive = true;
  response.session = Session{.sessionId = session.id, .streamUrl = session.url, .tokenValue = session.token};
  response.taskArn = task_arn(*task);
  return response;
}

}  // namespace watari::aws::ecs
