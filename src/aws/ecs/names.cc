#include "aws/ecs/names.h"

#include "aws/error.h"
#include "base/strings.h"

namespace watari::aws::ecs {

std::string arn(const model::Scope& scope, std::string_view kind, std::string_view rest) {
  return fmt::format("arn:aws:ecs:{}:{}:{}/{}", scope.region, scope.account, kind, rest);
}

std::string cluster_arn(const model::Scope& scope, std::string_view name) { return arn(scope, "cluster", name); }

std::string task_definition_arn(const model::Scope& scope, std::string_view family, int revision) {
  return arn(scope, "task-definition", fmt::format("{}:{}", family, revision));
}

std::string service_arn(const model::Service& service) {
  return arn(service.scope, "service", service.cluster + "/" + service.name);
}

std::string task_arn(const model::Task& task) { return arn(task.scope, "task", task.cluster + "/" + task.id); }

Result<std::string> resource_name(const model::Scope& scope, std::string_view kind, const std::string& text) {
  if (!text.starts_with("arn:")) return text;
  auto prefix = arn(scope, kind, "");
  if (!text.starts_with(prefix))
    return error("InvalidParameterException", "Invalid identifier: {} is not a {} of this account and region.", text, kind);
  return text.substr(prefix.size());
}

Result<std::string> cluster_name(const model::Scope& scope, const std::optional<std::string>& text) {
  if (!text || text->empty()) return std::string("default");
  return resource_name(scope, "cluster", *text);
}

namespace {

Result<std::string> name_in_cluster(const model::Scope& scope, std::string_view kind, const std::string& cluster,
                                    const std::string& text) {
  TRY(auto rest, resource_name(scope, kind, text));
  auto slash = rest.find('/');
  if (slash == std::string::npos) return rest;
  if (rest.substr(0, slash) != cluster)
    return error("InvalidParameterException", "Identifier is for cluster {}. Your cluster is {}.", rest.substr(0, slash), cluster);
  return rest.substr(slash + 1);
}

}  // namespace

Result<std::string> service_name(const model::Scope& scope, const std::string& cluster, const std::string& text) {
  return name_in_cluster(scope, "service", cluster, text);
}

Result<std::string> task_id(const model::Scope& scope, const std::string& cluster, const std::string& text) {
  return name_in_cluster(scope, "task", cluster, text);
}

Result<TaskDefinitionName> task_definition_name(const model::Scope& scope, const std::string& text) {
  TRY(auto rest, resource_name(scope, "task-definition", text));
  TaskDefinitionName name{.family = rest};
  if (auto colon = rest.rfind(':'); colon != std::string::npos) {
    auto revision = parse_number<int>(std::string_view(rest).substr(colon + 1));
    if (!revision || *revision < 1)
      return error("InvalidParameterException", "Invalid revision number. Number: {}", rest.substr(colon + 1));
    name = {rest.substr(0, colon), *revision};
  }
  return name;
}

}  // namespace watari::aws::ecs
