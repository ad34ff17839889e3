#pragma once
// What CreateService and UpdateService say about a service, checked as ECS does and turned into the domain.
#include <optional>
#include <vector>

#include "aws/call.h"
#include "aws/gen/ecs/shape/DeploymentConfiguration.h"
#include "aws/gen/ecs/shape/LoadBalancer.h"
#include "aws/gen/ecs/shape/NetworkConfiguration.h"
#include "aws/gen/ecs/shape/ServiceConnectConfiguration.h"
#include "model/service.h"
#include "model/task_definition.h"

namespace watari::aws::ecs {

// Members that are absent keep what `base` says. InvalidParameterException, also for hooks that nobody stands behind.
Result<model::DeploymentConfiguration> from_wire(Call& call, const DeploymentConfiguration& in, model::DeploymentConfiguration base);

// Subnets and security groups exist, in one VPC; without groups the VPC's default one.
Result<model::NetworkPlacement> placement_from_wire(Call& call, const std::optional<NetworkConfiguration>& in);

// The containers and ports are the definition's; target groups and rules exist; a group has a load balancer, or is the other
// half of a blue/green pair.
Result<std::vector<model::ServiceLoadBalancer>> balancers_from_wire(Call& call, const std::vector<LoadBalancer>& in,
                                                                    const model::TaskDefinition& definition,
                                                                    model::Strategy strategy);

// A strategy that shifts traffic has a second target group and a rule to shift. InvalidParameterException.
Result<void> check_advanced(const model::ServiceLoadBalancer& balancer, model::Strategy strategy);

// Client aliases resolve by /etc/hosts, so their port has to be the container's. The namespace is a name, or the ARN of one that exists.
Result<std::pair<std::string, std::vector<model::ServiceName>>> names_from_wire(Call& call, const ServiceConnectConfiguration& in,
                                                                                const std::string& cluster, const model::TaskDefinition& definition);

}  // namespace watari::aws::ecs
