#include "aws/ec2/common.h"

#include "base/strings.h"

namespace watari::aws::ec2 {

namespace {

// Values of the resource under a filter's name, or an error when the name means nothing.
Result<std::vector<std::string>> values_of(const std::string& name, const Attributes& attributes, const std::vector<model::Tag>& tags) {
  if (auto known = attributes.find(name); known != attributes.end()) return known->second;
  std::vector<std::string> values;
  if (name.starts_with("tag:") || name == "tag-key" || name == "tag-value") {
    for (const auto& tag : tags)
      if (name == "tag-key") values.push_back(tag.key);
      else if (name == "tag-value" || name.substr(4) == tag.key) values.push_back(tag.value);
    return values;
  }
  return error("InvalidParameterValue", "The filter '{}' is invalid", name);
}

}  // namespace

Result<control::Control*> enter(Call& call) {
  auto* control = call.platform.control;
  if (!control) return fail(Code::Unavailable, "this server runs without a control plane");
  TRY_VOID(control::ensure_default_network(control->database(), control->state(), call.scope));
  return control;
}

Result<bool> passes(const std::vector<Filter>& filters, const Attributes& attributes, const std::vector<model::Tag>& tags) {
  bool all = true;
  for (const auto& filter : filters) {
    TRY(auto values, values_of(filter.Name.value_or(""), attributes, tags));
    all = all && std::ranges::any_of(values, [&](const auto& value) {
            return std::ranges::any_of(filter.Values, [&](const auto& pattern) { return wildcard_match(pattern, value); });
          });
  }
  return all;
}

Result<void> put_tags(std::vector<model::Tag>& onto, const std::vector<Tag>& tags) {
  for (const auto& tag : tags) {
    auto key = tag.Key.value_or(""), value = tag.Value.value_or("");
    if (key.empty() || key.size() > 128) return error("InvalidParameterValue", "Tag keys must have 1 to 128 characters: '{}'", key);
    if (key.starts_with("aws:")) return error("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use");
    if (value.size() > 256) return error("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters");
  }
  return merge_tags(onto, tags, "TagLimitExceeded");
}

Result<std::vector<model::Tag>> tags_for(const std::string& resource_type, const std::vector<TagSpecification>& specifications) {
  std::vector<model::Tag> tags;
  for (const auto& specification : specifications) {
    if (specification.ResourceType != resource_type)
      return error("InvalidParameterValue", "'{}' is not a valid taggable resource type for this operation.", specification.ResourceType.value_or(""));
    TRY_VOID(put_tags(tags, specification.Tags));
  }
  return tags;
}

std::string arn(const Call& call, const std::string& resource) {
  return "arn:aws:ec2:" + call.scope.region + ":" + call.scope.account + ":" + resource;
}

std::string bool_text(bool value) { return value ? "true" : "false"; }

}  // namespace watari::aws::ec2
