// Deployment configurations: the five predefined ones for ECS, and custom ones.
#include <algorithm>

#include "aws/codedeploy/wire.h"
#include "aws/gen/codedeploy/create_deployment_config.h"
#include "aws/gen/codedeploy/delete_deployment_config.h"
#include "aws/gen/codedeploy/get_deployment_config.h"
#include "aws/gen/codedeploy/list_deployment_configs.h"
#include "aws/page.h"

namespace watari::aws::codedeploy {
namespace {

constexpr const char* kInvalid = "InvalidTrafficRoutingConfigurationException";

TrafficRoutingConfig routing_to_wire(const model::CodeDeployConfig& config) {
  TrafficRoutingConfig out{.type = config.type};
  if (config.type == "TimeBasedCanary") out.timeBasedCanary = TimeBasedCanary{.canaryPercentage = config.percent, .canaryInterval = config.minutes};
  if (config.type == "TimeBasedLinear") out.timeBasedLinear = TimeBasedLinear{.linearPercentage = config.percent, .linearInterval = config.minutes};
  return out;
}

Result<void> read_routing(const std::optional<TrafficRoutingConfig>& in, model::CodeDeployConfig& out) {
  if (!in) return {};
  out.type = in->type.value_or("AllAtOnce");
  bool canary = out.type == "TimeBasedCanary", linear = out.type == "TimeBasedLinear";
  if (canary != in->timeBasedCanary.has_value() || linear != in->timeBasedLinear.has_value())
    return error(kInvalid, "A traffic routing configuration of type {} has exactly the member of that name.", out.type);
  if (canary) out.percent = in->timeBasedCanary->canaryPercentage.value_or(0), out.minutes = in->timeBasedCanary->canaryInterval.value_or(0);
  if (linear) out.percent = in->timeBasedLinear->linearPercentage.value_or(0), out.minutes = in->timeBasedLinear->linearInterval.value_or(0);
  if (out.type == "AllAtOnce") return {};
  if (out.percent < 1 || out.percent > 99) return error(kInvalid, "The percentage must be between 1 and 99; it is {}.", out.percent);
  if (out.minutes < 1 || out.minutes > 2880) return error(kInvalid, "The interval must be between 1 and 2880 minutes; it is {}.", out.minutes);
  return {};
}

}  // namespace

Result<CreateDeploymentConfigResponse> create_deployment_config(Call& call, const CreateDeploymentConfigRequest& request) {
  TRY_VOID(check_name(request.deploymentConfigName, "DeploymentConfig"));
  if (!request.computePlatform)
    return error("InvalidComputePlatformException", "computePlatform 'Server' is not supported by Watari; use ECS");
  if (request.deploymentConfigName.starts_with("CodeDeployDefault."))
    return error("InvalidDeploymentConfigNameException", "Names that begin with CodeDeployDefault. are reserved.");
  if (find_config(call, request.deploymentConfigName))
    return error("DeploymentConfigAlreadyExistsException", "Deployment Config already exists: {}", request.deploymentConfigName);
  model::CodeDeployConfig config{.scope = call.scope, .id = new_id(), .name = request.deploymentConfigName, .created_at = call.now};
  TRY_VOID(read_routing(request.trafficRoutingConfig, config));
  return call.platform.control->commit([&]() -> Result<CreateDeploymentConfigResponse> {
    state(call).code_deploy_configs.put(control::deployment_config_key(call.scope, config.name), config);
    return CreateDeploymentConfigResponse{.deploymentConfigId = config.id};
  });
}

Result<GetDeploymentConfigResponse> get_deployment_config(Call& call, const GetDeploymentConfigRequest& request) {
  TRY(auto config, find_config(call, request.deploymentConfigName));
  DeploymentConfigInfo info{.deploymentConfigId = config.id, .deploymentConfigName = config.name};
  info.createTime = config.created_at;
  info.computePlatform = "ECS";
  info.trafficRoutingConfig = routing_to_wire(config);
  return GetDeploymentConfigResponse{.deploymentConfigInfo = std::move(info)};
}

Result<ListDeploymentConfigsResponse> list_deployment_configs(Call& call, const ListDeploymentConfigsRequest& request) {
  std::vector<std::string> names;
  for (const auto& config : control::deployment_configs(state(call), call.scope)) names.push_back(config.name);
  std::ranges::sort(names);
  TRY(auto page, paginate(call, std::move(names), request.nextToken, 100, std::identity{}, "InvalidNextTokenException"));
  return ListDeploymentConfigsResponse{.deploymentConfigsList = std::move(page.items), .nextToken = std::move(page.next_token)};
}

Result<DeleteDeploymentConfigResponse> delete_deployment_config(Call& call, const DeleteDeploymentConfigRequest& request) {
  const auto& name = request.deploymentConfigName;
  if (name.starts_with("CodeDeployDefault."))
    return error("InvalidOperationException", "The predefined configuration {} cannot be deleted.", name);
  bool used = false;
  state(call).code_deploy_groups.each(control::scope_prefix(call.scope),
                                      [&](const auto&, const model::CodeDeployGroup& group) { used |= group.config == name; });
  if (used) return error("DeploymentConfigInUseException", "Deployment Config {} is still used by a deployment group.", name);
  return call.platform.control->commit([&]() -> Result<DeleteDeploymentConfigResponse> {
    state(call).code_deploy_configs.erase(control::deployment_config_key(call.scope, name));
    return DeleteDeploymentConfigResponse{};
  });
}

}  // namespace watari::aws::codedeploy
