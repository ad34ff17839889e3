#pragma once
// Services, deployments and revisions as ECS describes them. Thread: the control loop (they count tasks in the state).
#include "aws/gen/ecs/shape/NetworkConfiguration.h"
#include "aws/gen/ecs/shape/Service.h"
#include "aws/gen/ecs/shape/ServiceDeployment.h"
#include "aws/gen/ecs/shape/ServiceDeploymentBrief.h"
#include "aws/gen/ecs/shape/ServiceRevision.h"
#include "control/control.h"
#include "model/service.h"

namespace watari::aws::ecs {

// With `tags` when they were asked for. `deployments` has one PRIMARY, and an ACTIVE for each other revision that still has
// tasks: exactly one entry when the service is stable, which is what the SDKs' services_stable waiter looks at.
Service describe_service(const control::State& state, const model::Service& service, bool with_tags);
ServiceDeployment describe_deployment(const control::State& state, const model::Deployment& deployment);
ServiceDeploymentBrief summarise_deployment(const model::Deployment& deployment);
ServiceRevision describe_revision(const control::State& state, const model::Deployment& deployment,
                                  const model::ServiceRevision& revision);

NetworkConfiguration to_wire(const model::NetworkPlacement& network);

std::string deployment_arn(const model::Deployment& deployment);
std::string revision_arn(const model::Deployment& deployment, const model::ServiceRevision& revision);

// The ARN of the listener whose rule this is, of network load balancers only: for productionListenerRule and testListenerRule clients name the
// listener there.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AdvancedConfiguration.html
std::optional<std::string> listener_of_network_rule(const std::string& rule);

}  // namespace watari::aws::ecs
