#pragma once
// Container definitions and volumes between ECS's shapes and the domain, with the checks that ECS makes.
#include "aws/gen/ecs/shape/ContainerDefinition.h"
#include "aws/gen/ecs/shape/Volume.h"
#include "base/result.h"
#include "model/task_definition.h"

namespace watari::aws::ecs {

ContainerDefinition to_wire(const model::ContainerDefinition& container);
Volume to_wire(const model::Volume& volume);

// ClientException names the container and what is wrong with it.
Result<model::ContainerDefinition> from_wire(const ContainerDefinition& container);
Result<model::Volume> from_wire(const Volume& volume);

// What is wrong between the containers: names, volumes, dependencies, at least one essential.
Result<void> check_together(const model::TaskDefinition& definition);

}  // namespace watari::aws::ecs
