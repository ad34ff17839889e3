// Making, changing and ending services and their deployments.
#include "aws/ecs/service_requests.h"
#include "aws/ecs/service_shapes.h"
#include "aws/ecs/wire.h"
#include "aws/gen/ecs/continue_service_deployment.h"
#include "aws/gen/ecs/create_service.h"
#include "aws/gen/ecs/delete_service.h"
#include "aws/gen/ecs/stop_service_deployment.h"
#include "aws/gen/ecs/update_service.h"
#include "base/strings.h"
#include "control/services.h"

namespace watari::aws::ecs {
namespace {

Result<void> check_service_name(const std::string& name) {
  bool good = !name.empty() && name.size() <= 255;
  for (char c : name) good &= std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
  if (!good)
    return error("InvalidParameterException",
                 "Invalid service name: {}. Up to 255 letters (uppercase and lowercase), numbers, underscores, and hyphens are allowed.",
                 name);
  return {};
}

Result<model::TaskDefinition> active_definition(Call& call, const std::string& text) {
  TRY(auto definition, find_task_definition(call, text));
  if (!definition.active) return error("ClientException", "TaskDefinition is inactive");
  return definition;
}

// The key of the deployment with this ARN.
Result<std::string> find_deployment(Call& call, const std::string& wanted) {
  TRY(auto rest, resource_name(call.scope, "service-deployment", wanted));
  auto parts = split(rest, '/');
  std::string key;
  if (parts.size() == 3) {
    model::Service service{.scope = call.scope, .cluster = parts[0], .name = parts[1]};
    call.platform.control->state().deployments.each(
        control::deployment_prefix(service), [&](const std::string& candidate, const model::Deployment& deployment) {
          if (deployment_arn(deployment) == wanted) key = candidate;
        });
  }
  if (key.empty()) return error("ServiceDeploymentNotFoundException", "Service deployment not found.");
  return key;
}

Result<void> check_counts(std::optional<int> desired, std::optional<int> grace) {
  if (desired && (*desired < 0 || *desired > 5000))
    return error("InvalidParameterException", "desiredCount must be between 0 and 5000; it is {}.", *desired);
  if (grace && *grace < 0) return error("InvalidParameterException", "healthCheckGracePeriodSeconds must not be negative.");
  return {};
}

// What CodeDeploy or somebody else's controller changes about a service, nobody else may.
Result<void> check_controller(const Call& call, const model::Service& service, const UpdateServiceRequest& request) {
  if (service.controller == "ECS") return {};
  std::string_view instead = service.controller == "EXTERNAL" ? "Use CreateTaskSet and UpdateServicePrimaryTaskSet."
                                                              : "Use AWS CodeDeploy to trigger a new deployment.";
  auto refuse = [&](std::string_view what) {
    return error("InvalidParameterException", "Unable to update {} on services with a {} deployment controller. {}", what, service.controller, instead);
  };
  if (request.deploymentController) return refuse("deployment controller");
  if (request.taskDefinition) return refuse("task definition");
  if (request.networkConfiguration) return refuse("network parameters");
  if (request.platformVersion) return refuse("platform version");
  if (call.given("loadBalancers")) return refuse("load balancers");
  if (request.serviceConnectConfiguration) return refuse("service connect configuration");
  const auto& configuration = request.deploymentConfiguration;
  if (configuration && configuration->strategy.value_or("ROLLING") != "ROLLING") return refuse("deployment strategy");
  if (request.forceNewDeployment.value_or(false))
    return error("InvalidParameterException",
                 "Cannot force a new deployment on services with a {} deployment controller. {}", service.controller, instead);
  if (service.controller == "EXTERNAL" && configuration) return refuse("deployment configuration");
  return {};
}

// CodeDeploy brings its own strategies, and needs target groups to shift between.
Result<void> check_code_deploy(const model::Service& service) {
  if (service.controller != "CODE_DEPLOY") return {};
  if (service.target.load_balancers.empty())
    return error("InvalidParameterException", "Services with a CODE_DEPLOY deployment controller need loadBalancers.");
  if (service.configuration.strategy != model::Strategy::Rolling || service.configuration.circuit_breaker)
    return error("InvalidParameterException",
                 "deploymentConfiguration.strategy and deploymentCircuitBreaker can only be used with the ECS deployment controller.");
  return {};
}

// What a task set brings along cannot be given for the service.
Result<void> check_external(const Call& call) {
  for (auto member : {"taskDefinition", "launchType", "platformVersion", "networkConfiguration", "loadBalancers", "serviceConnectConfiguration", "deploymentConfiguration"})
    if (call.given(member))
      return error("InvalidParameterException", "{} cannot be specified for services using an EXTERNAL deployment controller; give it to CreateTaskSet.", member);
  return {};
}

// What the tasks are made from: everything that another controller's task sets bring along.
Result<void> read_target(Call& call, const CreateServiceRequest& request, model::Service& service) {
  if (!request.taskDefinition) return error("InvalidParameterException", "TaskDefinition can not be blank.");
  TRY(auto definition, active_definition(call, *request.taskDefinition));
  auto& target = service.target;
  target.family = definition.family;
  target.revision = definition.revision;
  target.launch_type = request.launchType.value_or("FARGATE");
  TRY(target.network, placement_from_wire(call, request.networkConfiguration));
  TRY(target.load_balancers, balancers_from_wire(call, request.loadBalancers, definition, service.configuration.strategy));
  if (request.serviceConnectConfiguration) {
    TRY(auto names, names_from_wire(call, *request.serviceConnectConfiguration, service.cluster, definition));
    std::tie(target.names_namespace, target.names) = std::move(names);
  }
  return check_code_deploy(service);
}

}  // namespace

Result<CreateServiceResponse> create_service(Call& call, const CreateServiceRequest& request) {
  TRY(auto cluster, find_cluster(call, request.cluster));
  TRY_VOID(check_service_name(request.serviceName));
  bool external = request.deploymentController && request.deploymentController->type == "EXTERNAL";
  if (external) TRY_VOID(check_external(call));
  // Tasks have network interfaces of their own here, always; AWS's sentence for that.
  if (request.role) return error("InvalidParameterException", "You cannot specify an IAM role for services that require a service linked role.");
  if (!request.desiredCount && !external) return error("InvalidParameterException", "Desired count can not be empty.");
  TRY_VOID(check_counts(request.desiredCount, request.healthCheckGracePeriodSeconds));

  model::Service service{.scope = call.scope, .cluster = cluster.name, .name = request.serviceName};
  service.desired_count = request.desiredCount.value_or(0);
  if (request.deploymentConfiguration) {
    TRY(service.configuration, from_wire(call, *request.deploymentConfiguration, service.configuration));
  }
  service.health_check_grace_period = Seconds(request.healthCheckGracePeriodSeconds.value_or(0));
  service.enable_execute_command = request.enableExecuteCommand.value_or(false);
  service.platform_version = request.platformVersion.value_or("LATEST");
  service.propagate_tags = request.propagateTags.value_or("NONE");
  service.managed_tags = request.enableECSManagedTags.value_or(false);
  service.client_token = request.clientToken.value_or("");
  service.created_by = call.principal;
  if (request.deploymentController) service.controller = request.deploymentController->type;
  TRY(service.tags, tags_from_wire(request.tags));
  if (!external) TRY_VOID(read_target(call, request, service));
  TRY(auto created, control::create_service(*call.platform.control, std::move(service)));
  return CreateServiceResponse{.service = describe_service(call.platform.control->state(), created, true)};
}

Result<UpdateServiceResponse> update_service(Call& call, const UpdateServiceRequest& request) {
  TRY(auto cluster, find_cluster(call, request.cluster));
  TRY(auto name, service_name(call.scope, cluster.name, request.service));
  auto& state = call.platform.control->state();
  auto key = control::service_key(call.scope, cluster.name, name);
  auto* service = state.services.find(key);
  if (!service) return error("ServiceNotFoundException", "Service not found.");
  if (service->status != "ACTIVE") return error("ServiceNotActiveException", "Service was not ACTIVE.");
  TRY_VOID(check_counts(request.desiredCount, request.healthCheckGracePeriodSeconds));
  TRY_VOID(check_controller(call, *service, request));

  control::ServiceUpdate update;
  update.desired_count = request.desiredCount;
  update.force = request.forceNewDeployment.value_or(false);
  update.propagate_tags = request.propagateTags;
  update.managed_tags = request.enableECSManagedTags;
  update.enable_execute_command = request.enableExecuteCommand;
  update.platform_version = request.platformVersion;
  if (request.healthCheckGracePeriodSeconds) update.health_check_grace_period = Seconds(*request.healthCheckGracePeriodSeconds);
  auto configuration = service->configuration;
  if (request.deploymentConfiguration) {
    TRY(configuration, from_wire(call, *request.deploymentConfiguration, configuration));
    update.configuration = configuration;
  }
  model::TaskDefinition definition;  // an EXTERNAL service may have none, and cannot be given what it is needed for
  if (service->controller != "EXTERNAL") {
    auto wanted = request.taskDefinition.value_or(fmt::format("{}:{}", service->target.family, service->target.revision));
    TRY(definition, find_task_definition(call, wanted));
  }
  if (request.taskDefinition) {
    if (!definition.active) return error("ClientException", "TaskDefinition is inactive");
    update.task_definition = {definition.family, definition.revision};
  }
  if (request.networkConfiguration) {
    TRY(update.network, placement_from_wire(call, request.networkConfiguration));
  }
  if (call.given("loadBalancers")) {
    TRY(update.load_balancers, balancers_from_wire(call, request.loadBalancers, definition, configuration.strategy));
  } else {
    for (const auto& balancer : service->target.load_balancers) TRY_VOID(check_advanced(balancer, configuration.strategy));
  }
  if (request.serviceConnectConfiguration) {
    TRY(update.names, names_from_wire(call, *request.serviceConnectConfiguration, cluster.name, definition));
  }
  TRY(auto updated, control::update_service(*call.platform.control, key, update));
  return UpdateServiceResponse{.service = describe_service(state, updated, true)};
}

Result<DeleteServiceResponse> delete_service(Call& call, const DeleteServiceRequest& request) {
  TRY(auto cluster, find_cluster(call, request.cluster));
  TRY(auto name, service_name(call.scope, cluster.name, request.service));
  TRY(auto deleted, control::delete_service(*call.platform.control, control::service_key(call.scope, cluster.name, name),
                                            request.force.value_or(false)));
  return DeleteServiceResponse{.service = describe_service(call.platform.control->state(), deleted, true)};
}

Result<StopServiceDeploymentResponse> stop_service_deployment(Call& call, const StopServiceDeploymentRequest& request) {
  TRY(auto key, find_deployment(call, request.serviceDeploymentArn));
  TRY_VOID(control::stop_deployment(*call.platform.control, key, request.stopType.value_or("ROLLBACK") == "ROLLBACK"));
  return StopServiceDeploymentResponse{.serviceDeploymentArn = request.serviceDeploymentArn};
}

Result<ContinueServiceDeploymentResponse> continue_service_deployment(Call& call, const ContinueServiceDeploymentRequest& request) {
  TRY(auto key, find_deployment(call, request.serviceDeploymentArn));
  auto action = parse_enum<model::HookAction>(request.action.value_or("CONTINUE")).value_or(model::HookAction::Continue);
  if (request.hookId.empty()) return error("InvalidParameterException", "hookId cannot be blank; DescribeServiceDeployments shows it.");
  TRY_VOID(control::continue_deployment(*call.platform.control, key, request.hookId, action));
  return ContinueServiceDeploymentResponse{.serviceDeploymentArn = request.serviceDeploymentArn};
}

}  // namespace watari::aws::ecs
