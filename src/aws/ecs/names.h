#pragma once
// ECS ARNs, and what clients write in their place: a name, "family:revision", "cluster/service", or the ARN itself.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html#ecs-resource-ids (long format)
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/service.h"
#include "model/task.h"
#include "model/task_definition.h"

namespace watari::aws::ecs {

std::string arn(const model::Scope& scope, std::string_view kind, std::string_view rest);  // arn:aws:ecs:<region>:<account>:<kind>/<rest>
std::string cluster_arn(const model::Scope& scope, std::string_view name);
std::string task_definition_arn(const model::Scope& scope, std::string_view family, int revision);
std::string service_arn(const model::Service& service);
std::string task_arn(const model::Task& task);

// The part of an ARN of this kind after "<kind>/", or the text as it is when it is no ARN. InvalidParameterException when
// it is an ARN of another kind, account or region.
Result<std::string> resource_name(const model::Scope& scope, std::string_view kind, const std::string& text);

// "default" when empty.
Result<std::string> cluster_name(const model::Scope& scope, const std::optional<std::string>& text);

// The last part of a service's or task's ARN (old or new format) or the text as it is. InvalidParameterException when an ARN
// names another cluster.
Result<std::string> service_name(const model::Scope& scope, const std::string& cluster, const std::string& text);
Result<std::string> task_id(const model::Scope& scope, const std::string& cluster, const std::string& text);

struct TaskDefinitionName {
  std::string family;
  int revision = 0;  // 0: the newest active one
};
Result<TaskDefinitionName> task_definition_name(const model::Scope& scope, const std::string& text);

}  // namespace watari::aws::ecs
