#include "aws/ecs/wire.h"

#include <set>

namespace watari::aws::ecs {

Result<std::vector<model::Tag>> tags_from_wire(const std::vector<Tag>& tags) {
  if (tags.size() > kMaxTags) return error("InvalidParameterException", "{} tags were given; a resource has at most {}.", tags.size(), kMaxTags);
  std::vector<model::Tag> out;
  std::set<std::string> seen;
  for (const auto& tag : tags) {
    auto key = tag.key.value_or("");
    if (key.empty()) return error("InvalidParameterException", "A tag has no key.");
    if (key.starts_with("aws:")) return error("InvalidParameterException", "The tag key prefix aws: is reserved: {}.", key);
    if (!seen.insert(key).second) return error("InvalidParameterException", "Duplicate tag keys found: {}.", key);
    out.push_back({key, tag.value.value_or("")});
  }
  return out;
}

Result<model::Cluster> find_cluster(Call& call, const std::optional<std::string>& name_or_arn) {
  TRY(auto name, cluster_name(call.scope, name_or_arn));
  if (name == "default") TRY_VOID(control::ensure_cluster(*call.platform.control, call.scope, name));
  auto found = call.platform.control->state().clusters.get(control::cluster_key(call.scope, name));
  if (!found || found->status != "ACTIVE") return error("ClusterNotFoundException", "Cluster not found.");
  return *found;
}

Result<model::TaskDefinition> find_task_definition(Call& call, const std::string& name_or_arn) {
  TRY(auto name, task_definition_name(call.scope, name_or_arn));
  auto found = control::find_task_definition(call.platform.control->state(), call.scope, name.family, name.revision);
  if (!found) return error("ClientException", "Unable to describe task definition.");
  return *found;
}

Result<std::size_t> page_limit(std::optional<std::int32_t> wanted, std::int32_t otherwise) {
  auto limit = wanted.value_or(otherwise);
  if (limit < 1 || limit > 100) return error("InvalidParameterException", "maxResults must be between 1 and 100; it is {}.", limit);
  return static_cast<std::size_t>(limit);
}

}  // namespace watari::aws::ecs
