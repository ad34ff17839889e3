#pragma once
// Between ECS's shapes and the domain, and the look-ups that every handler of the service needs.
#include <optional>
#include <string>
#include <vector>

#include "aws/call.h"
#include "aws/ecs/names.h"
#include "aws/gen/ecs/shape/Tag.h"
#include "aws/tags.h"
#include "control/clusters.h"
#include "control/control.h"

namespace watari::aws::ecs {

inline std::vector<Tag> tags_to_wire(const std::vector<model::Tag>& tags) { return to_wire_tags<Tag>(tags); }
// InvalidParameterException for more than 50, repeated keys, or the reserved prefix "aws:".
Result<std::vector<model::Tag>> tags_from_wire(const std::vector<Tag>& tags);

// The active cluster (name or ARN; "default" when absent, made on first use). ClusterNotFoundException.
Result<model::Cluster> find_cluster(Call& call, const std::optional<std::string>& name_or_arn);

// How many items a page holds: what the caller wants, 1 to 100 of them, else `otherwise`. InvalidParameterException.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html (the other lists say the same)
Result<std::size_t> page_limit(std::optional<std::int32_t> wanted, std::int32_t otherwise);

// "family" (newest active revision), "family:revision" or ARN. ClientException "Unable to describe task definition.".
Result<model::TaskDefinition> find_task_definition(Call& call, const std::string& name_or_arn);

}  // namespace watari::aws::ecs
