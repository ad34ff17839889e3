#include "registry/lifecycle.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "codec/json.h"
#include "oci/manifest.h"

namespace watari::registry {

using codec::Json;
using Status = LifecycleRule::Status;

namespace {

template <class... Args>
auto wrong(fmt::format_string<Args...> format, Args&&... args) {
  return fail(Code::InvalidArgument, "Invalid parameter at 'LifecyclePolicyText': {}", fmt::format(format, std::forward<Args>(args)...));
}

Result<void> check_members(const Json& object, std::initializer_list<std::string_view> known, std::string_view where) {
  for (const auto& [name, value] : object.as_object())
    if (std::ranges::find(known, name) == known.end()) return wrong("{} has no member '{}'", where, name);
  return {};
}

Result<std::vector<std::string>> read_patterns(const Json& selection, const std::string& where) {
  const bool by_prefix = selection.has("tagPrefixList"), by_pattern = selection.has("tagPatternList");
  if (by_prefix == by_pattern) return wrong("{}: tagged images are selected by either tagPrefixList or tagPatternList", where);
  std::vector<std::string> out;
  for (const auto& item : selection[by_prefix ? "tagPrefixList" : "tagPatternList"].as_array()) {
    const auto& text = item.as_string();
    if (text.empty()) return wrong("{}: an empty tag prefix or pattern", where);
    if (std::ranges::count(text, '*') > (by_prefix ? 0 : 4)) return wrong("{}: '{}' has too many wildcards (a pattern may have 4, a prefix none)", where, text);
    out.push_back(by_prefix ? text + "*" : text);
  }
  if (out.empty()) return wrong("{}: the list of tag prefixes or patterns is empty", where);
  return out;
}

Result<void> read_count(const Json& selection, const std::string& where, LifecycleRule& rule) {
  const auto& type = selection["countType"].as_string();
  if (type != "imageCountMoreThan" && type != "sinceImagePushed")
    return wrong("{}: countType '{}' is not supported; imageCountMoreThan and sinceImagePushed are", where, type);
  rule.by_age = type == "sinceImagePushed";
  if (rule.by_age && selection["countUnit"].as_string() != "days") return wrong("{}: sinceImagePushed needs countUnit 'days'", where);
  if (!rule.by_age && selection.has("countUnit")) return wrong("{}: imageCountMoreThan has no countUnit", where);
  rule.count = selection["countNumber"].as_int();
  if (!selection["countNumber"].is_int() || rule.count < 1) return wrong("{}: countNumber must be a number above 0", where);
  return {};
}

Result<LifecycleRule> read_rule(const Json& json) {
  LifecycleRule rule;
  if (!json["rulePriority"].is_int() || json["rulePriority"].as_int() < 1) return wrong("rulePriority must be a number above 0");
  rule.priority = static_cast<int>(json["rulePriority"].as_int());
  const auto where = fmt::format("the rule of priority {}", rule.priority);
  TRY_VOID(check_members(json, {"rulePriority", "description", "selection", "action"}, where));
  const Json& selection = json["selection"];
  if (!selection.is_object()) return wrong("{} has no selection", where);
  TRY_VOID(check_members(selection, {"tagStatus", "tagPrefixList", "tagPatternList", "countType", "countUnit", "countNumber", "storageClass"}, where));
  if (selection.has("storageClass") && selection["storageClass"].as_string() != "standard") return wrong("{}: there is no archive here; storageClass can be 'standard' only", where);
  const auto& status = selection["tagStatus"].as_string();
  if (status != "tagged" && status != "untagged" && status != "any") return wrong("{}: tagStatus must be tagged, untagged or any", where);
  rule.status = status == "tagged" ? Status::Tagged : status == "untagged" ? Status::Untagged : Status::Any;
  if (rule.status == Status::Tagged) {
    TRY(rule.patterns, read_patterns(selection, where));
  } else if (selection.has("tagPrefixList") || selection.has("tagPatternList")) {
    return wrong("{}: tagPrefixList and tagPatternList belong to tagStatus 'tagged'", where);
  }
  TRY_VOID(read_count(selection, where, rule));
  TRY_VOID(check_members(json["action"], {"type"}, where + "'s action"));
  if (json["action"]["type"].as_string() != "expire") return wrong("{}: the action '{}' is not supported; 'expire' is", where, json["action"]["type"].as_string());
  return rule;
}

bool selects(const LifecycleRule& rule, const LifecycleImage& image) {
  if (rule.status == Status::Any) return true;
  if (rule.status == Status::Untagged) return image.tags.empty();
  return std::ranges::all_of(rule.patterns, [&](const auto& pattern) {
    return std::ranges::any_of(image.tags, [&](const auto& tag) { return wildcard_match(pattern, tag); });
  });
}

}  // namespace

Result<LifecyclePolicy> parse_lifecycle(std::string_view text) {
  auto json = codec::parse_json(text);
  if (!json || !(*json)["rules"].is_array()) return wrong("it is no JSON object with a list 'rules'");
  TRY_VOID(check_members(*json, {"rules"}, "the policy"));
  LifecyclePolicy out;
  for (const auto& item : (*json)["rules"].as_array()) {
    TRY(auto rule, read_rule(item));
    out.push_back(std::move(rule));
  }
  if (out.empty()) return wrong("it has no rules");
  std::ranges::sort(out, {}, &LifecycleRule::priority);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i > 0 && out[i].priority == out[i - 1].priority) return wrong("two rules have the priority {}", out[i].priority);
    if (out[i].status == Status::Any && i + 1 != out.size()) return wrong("a rule for 'any' tag status must have the highest rulePriority of all");
  }
  if (std::ranges::count(out, Status::Untagged, &LifecycleRule::status) > 1) return wrong("only one rule may select untagged images");
  return out;
}

std::vector<Expiring> expiring(const LifecyclePolicy& policy, std::vector<LifecycleImage> images, Time now) {
  std::ranges::sort(images, [](const auto& a, const auto& b) { return std::tie(b.pushed_at, a.digest) < std::tie(a.pushed_at, b.digest); });
  std::vector<Expiring> out;
  std::set<std::string> decided;
  for (const auto& rule : policy) {
    std::int64_t seen = 0;
    for (const auto& image : images) {
      if (!selects(rule, image)) continue;
      const bool over = rule.by_age ? now - image.pushed_at > std::chrono::days(rule.count) : ++seen > rule.count;
      if (decided.insert(image.digest).second && over) out.push_back({image, rule.priority});
    }
  }
  return out;
}

std::vector<LifecycleImage> lifecycle_images(oci::ImageStore& images, const std::string& repository) {
  std::map<std::string, std::vector<std::string>> tags;
  for (const auto& tagged : images.repositories().tags(repository)) tags[tagged.digest].push_back(tagged.tag);
  std::set<std::string> held;  // by something else in the repository
  const auto links = images.repositories().manifests(repository);
  for (const auto& link : links) {
    auto bytes = images.content().get(link.digest);
    auto manifest = bytes ? oci::parse_manifest(*bytes, link.media_type) : fail(bytes.error());
    if (!manifest) continue;
    for (const auto& inner : manifest->manifests) held.insert(inner.digest);
    if (manifest->subject && images.repositories().manifest(repository, manifest->subject->digest)) held.insert(link.digest);
  }
  std::vector<LifecycleImage> out;
  for (const auto& link : links)
    if (!held.contains(link.digest)) out.push_back({link.digest, tags[link.digest], link.put_at});
  return out;
}

std::vector<std::string> expire_images(oci::ImageStore& images, Time now, const std::string& only) {
  std::vector<std::string> out;
  for (const auto& repository : only.empty() ? images.repositories().names() : std::vector{only}) {
    auto settings = images.repositories().settings(repository);
    if (!settings || settings->lifecycle_policy.empty()) continue;
    auto policy = parse_lifecycle(settings->lifecycle_policy);
    if (!policy) {
      log::warn("the lifecycle policy of {}: {}", repository, policy.error().message);
      continue;
    }
    for (const auto& [image, priority] : expiring(*policy, lifecycle_images(images, repository), now)) {
      auto removed = images.repositories().unlink(repository, image.digest);
      if (removed) out.push_back(repository + "@" + image.digest);
      else log::warn("expire {}@{}: {}", repository, image.digest, removed.error().message);
    }
    auto changed = images.repositories().update(repository, [&](oci::RepositorySettings& stored) { stored.lifecycle_evaluated_at = now; });
    if (!changed) log::warn("{}: {}", repository, changed.error().message);
  }
  for (const auto& image : out) log::info("{} has expired by its repository's lifecycle policy", image);
  return out;
}

}  // namespace watari::registry
