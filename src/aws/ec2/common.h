#pragma once
// What the EC2 handlers share: the region's network, filters, tags, lists by id.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "aws/call.h"
#include "aws/gen/ec2/shape/Filter.h"
#include "aws/gen/ec2/shape/Tag.h"
#include "aws/gen/ec2/shape/TagSpecification.h"
#include "aws/page.h"
#include "aws/tags.h"
#include "control/control.h"
#include "control/network.h"

namespace watari::aws::ec2 {

// Control, with the scope's default network made. Unavailable when this server runs without it.
Result<control::Control*> enter(Call& call);

// The values that a resource has for each filter name; every name that the operation knows must be there, if with no value.
using Attributes = std::map<std::string, std::vector<std::string>>;

// All filters must match, each by any of its values ("*" and "?" are wildcards). tag:<key>, tag-key and tag-value work everywhere.
// InvalidParameterValue for a filter name that is not known.
Result<bool> passes(const std::vector<Filter>& filters, const Attributes& attributes, const std::vector<model::Tag>& tags);

inline std::vector<Tag> tags_to_wire(const std::vector<model::Tag>& tags) { return to_wire_tags<Tag>(tags); }
// Adds or replaces. InvalidParameterValue for keys that are empty or begin with "aws:".
Result<void> put_tags(std::vector<model::Tag>& onto, const std::vector<Tag>& tags);
// The tags that a creating request gives to the resource type; InvalidParameterValue when it names another type.
Result<std::vector<model::Tag>> tags_for(const std::string& resource_type, const std::vector<TagSpecification>& specifications);

std::string arn(const Call& call, const std::string& resource);  // arn:aws:ec2:<region>:<account>:<resource>
std::string bool_text(bool value);

// How a kind of resource is called when an id is not there.
struct Unknown {
  const char* code;
  const char* what;
};

// The scope's documents, sorted by id: those with one of `ids` (all when there are none) that pass the filters.
template <class T, class Describe>
Result<std::vector<T>> select(const Call& call, const store::Table<T>& table, const std::vector<std::string>& ids,
                              const Unknown& unknown, const std::vector<Filter>& filters, Describe describe) {
  auto found = matching(table, control::scope_prefix(call.scope), [&](const T& item) { return among(ids, item.id); });
  if (auto id = first_missing(ids, found, &T::id)) return error(unknown.code, "The {} '{}' does not exist", unknown.what, *id);
  std::vector<T> out;
  for (auto& item : found) {
    TRY(bool wanted, passes(filters, describe(item), item.tags));
    if (wanted) out.push_back(std::move(item));
  }
  std::ranges::sort(out, {}, &T::id);
  return out;
}

// One page of what select() gave; everything when no MaxResults is given.
template <class T>
Result<Page<T>> page_of(const Call& call, std::vector<T> items, const std::optional<std::string>& token, std::optional<int> limit) {
  auto most = limit || token ? page_size(limit, 1000) : items.size() + 1;
  return paginate(call, std::move(items), token, most, &T::id, "InvalidNextToken");
}

}  // namespace watari::aws::ec2
