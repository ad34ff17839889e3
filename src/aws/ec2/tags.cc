// Tags of the private network's resources. Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateTags.html
#include <algorithm>
#include <functional>

#include "aws/ec2/common.h"
#include "aws/gen/ec2/create_tags.h"
#include "aws/gen/ec2/delete_tags.h"
#include "aws/gen/ec2/describe_tags.h"

namespace watari::aws::ec2 {

namespace {

using Change = std::function<Result<void>(std::vector<model::Tag>&)>;

// Changes the tags of the document with this id, wherever its key is. False: there is none.
template <class T>
Result<bool> change_in(const Call& call, store::Table<T>& table, const std::string& id, const Change& change) {
  std::string key;
  table.each(control::scope_prefix(call.scope), [&](const std::string& at, const T& item) {
    if (item.id == id) key = at;
  });
  if (key.empty()) return false;
  auto item = *table.get(key);
  TRY_VOID(change(item.tags));
  table.put(key, item);
  return true;
}

Result<bool> change_rule(const Call& call, control::State& state, const std::string& id, const Change& change) {
  for (auto& [key, group] : state.security_groups.list(control::scope_prefix(call.scope)))
    for (auto* rules : {&group.ingress, &group.egress})
      for (auto& rule : *rules) {
        if (rule.id != id) continue;
        TRY_VOID(change(rule.tags));
        state.security_groups.put(key, group);
        return true;
      }
  return false;
}

Result<void> change_tags(const Call& call, control::State& state, const std::string& id, const Change& change) {
  Result<bool> found = false;
  const char* missing = nullptr;
  if (id.starts_with("vpc-")) {
    found = change_in(call, state.vpcs, id, change);
    missing = "InvalidVpcID.NotFound";
  } else if (id.starts_with("subnet-")) {
    found = change_in(call, state.subnets, id, change);
    missing = "InvalidSubnetID.NotFound";
  } else if (id.starts_with("sg-")) {
    found = change_in(call, state.security_groups, id, change);
    missing = "InvalidGroup.NotFound";
  } else if (id.starts_with("sgr-")) {
    found = change_rule(call, state, id, change);
    missing = "InvalidSecurityGroupRuleId.NotFound";
  } else if (id.starts_with("eni-")) {
    found = change_in(call, state.network_interfaces, id, change);
    missing = "InvalidNetworkInterfaceID.NotFound";
  } else {
    return error("InvalidID", "The ID '{}' is not valid", id);
  }
  if (!found) return fail(std::move(found).error());
  if (!*found) return error(missing, "The ID '{}' does not exist", id);
  return {};
}

struct Tagged {
  std::string id;  // for paging
  std::string resource, type;
  model::Tag tag;
};

template <class T>
void collect(const Call& call, const store::Table<T>& table, const char* type, std::map<std::string, Tagged>& out) {
  table.each(control::scope_prefix(call.scope), [&](const std::string&, const T& item) {
    for (const auto& tag : item.tags) {
      auto id = item.id + "/" + tag.key;
      out.emplace(id, Tagged{id, item.id, type, tag});
    }
  });
}

}  // namespace

Result<CreateTagsResponse> create_tags(Call& call, const CreateTagsRequest& request) {
  TRY(auto* control, enter(call));
  TRY_VOID(control->commit([&]() -> Result<void> {
    for (const auto& id : request.Resources)
      TRY_VOID(change_tags(call, control->state(), id, [&](auto& tags) { return put_tags(tags, request.Tags); }));
    return {};
  }));
  return CreateTagsResponse{};
}

Result<DeleteTagsResponse> delete_tags(Call& call, const DeleteTagsRequest& request) {
  TRY(auto* control, enter(call));
  // A tag without a value goes whatever its value is; no tags at all means all of them.
  auto remove = [&](std::vector<model::Tag>& tags) -> Result<void> {
    std::erase_if(tags, [&](const model::Tag& tag) {
      return request.Tags.empty() || std::ranges::any_of(request.Tags, [&](const Tag& given) {
               return given.Key == tag.key && (!given.Value || *given.Value == tag.value);
             });
    });
    return {};
  };
  TRY_VOID(control->commit([&]() -> Result<void> {
    for (const auto& id : request.Resources) TRY_VOID(change_tags(call, control->state(), id, remove));
    return {};
  }));
  return DeleteTagsResponse{};
}

Result<DescribeTagsResponse> describe_tags(Call& call, const DescribeTagsRequest& request) {
  TRY(auto* control, enter(call));
  const auto& state = control->state();
  std::map<std::string, Tagged> all;
  collect(call, state.vpcs, "vpc", all);
  collect(call, state.subnets, "subnet", all);
  collect(call, state.security_groups, "security-group", all);
  collect(call, state.network_interfaces, "network-interface", all);
  state.security_groups.each(control::scope_prefix(call.scope), [&](const std::string&, const model::SecurityGroup& group) {
    for (const auto* rules : {&group.ingress, &group.egress})
      for (const auto& rule : *rules)
        for (const auto& tag : rule.tags) all.emplace(rule.id + "/" + tag.key, Tagged{rule.id + "/" + tag.key, rule.id, "security-group-rule", tag});
  });
  std::vector<Tagged> wanted;
  for (const auto& [id, one] : all) {
    Attributes attributes{{"key", {one.tag.key}}, {"value", {one.tag.value}}, {"resource-id", {one.resource}}, {"resource-type", {one.type}}};
    TRY(bool pass, passes(request.Filters, attributes, {one.tag}));
    if (pass) wanted.push_back(one);
  }
  TRY(auto page, page_of(call, std::move(wanted), request.NextToken, request.MaxResults));
  DescribeTagsResponse response;
  response.NextToken = page.next_token;
  for (const auto& one : page.items) {
    TagDescription out;
    out.Key = one.tag.key;
    out.Value = one.tag.value;
    out.ResourceId = one.resource;
    out.ResourceType = one.type;
    response.Tags.push_back(out);
  }
  return response;
}

}  // namespace watari::aws::ec2
