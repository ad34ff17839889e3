// Pull-through cache rules.
#include <algorithm>

#include "aws/ecr/wire.h"
#include "aws/gen/ecr/create_pull_through_cache_rule.h"
#include "aws/gen/ecr/delete_pull_through_cache_rule.h"
#include "aws/gen/ecr/describe_pull_through_cache_rules.h"
#include "aws/gen/ecr/validate_pull_through_cache_rule.h"
#include "aws/page.h"
#include "registry/registry.h"

namespace watari::aws::ecr {

namespace {

Result<registry::PullThrough*> rules_of(Call& call) {
  if (call.platform.registry) return &call.platform.registry->pull_through();
  return fail(Code::Unavailable, "this server was started without its registry");
}

auto no_rule(const Call& call, const std::string& prefix) {
  return error("PullThroughCacheRuleNotFoundException", "The pull through cache rule with ecrRepositoryPrefix '{}' does not exist in the registry with id '{}'", prefix,
               call.scope.account);
}

// The members that all answers have.
template <class Wire>
Wire to_wire(const Call& call, const registry::PullThroughRule& rule) {
  Wire out;
  out.ecrRepositoryPrefix = rule.prefix;
  out.upstreamRegistryUrl = rule.upstream;
  out.registryId = call.scope.account;
  out.upstreamRepositoryPrefix = rule.upstream_prefix.empty() ? "ROOT" : rule.upstream_prefix;
  return out;
}

Result<registry::PullThroughRule> find_rule(Call& call, const std::string& prefix) {
  TRY(auto* through, rules_of(call));
  for (auto& rule : through->rules())
    if (rule.prefix == prefix) return rule;
  return no_rule(call, prefix);
}

}  // namespace

Result<CreatePullThroughCacheRuleResponse> create_pull_through_cache_rule(Call& call, const CreatePullThroughCacheRuleRequest& request) {
  TRY(auto* through, rules_of(call));
  if (request.ecrRepositoryPrefix == "ROOT")
    return error("InvalidParameterException", "Invalid parameter at 'ecrRepositoryPrefix': ROOT would send every name that is not here to another registry; choose a prefix");
  registry::PullThroughRule rule{.prefix = request.ecrRepositoryPrefix, .upstream = request.upstreamRegistryUrl, .kind = request.upstreamRegistry.value_or(""),
                                 .region = call.scope.region, .created_at = call.now};
  if (request.upstreamRepositoryPrefix && *request.upstreamRepositoryPrefix != "ROOT") rule.upstream_prefix = *request.upstreamRepositoryPrefix;
  auto added = through->add(rule);
  if (!added && added.error().code == Code::AlreadyExists)
    return error("PullThroughCacheRuleAlreadyExistsException", "A pull through cache rule with ecrRepositoryPrefix '{}' already exists in the registry with id '{}'", rule.prefix,
                 call.scope.account);
  if (!added && added.error().code == Code::InvalidArgument) return error("UnsupportedUpstreamRegistryException", "'{}' is no registry: give its host, and a port if it has one", rule.upstream);
  if (!added) return fail(std::move(added).error());
  auto out = to_wire<CreatePullThroughCacheRuleResponse>(call, rule);
  out.createdAt = rule.created_at;
  out.upstreamRegistry = request.upstreamRegistry;
  return out;
}

Result<DescribePullThroughCacheRulesResponse> describe_pull_through_cache_rules(Call& call, const DescribePullThroughCacheRulesRequest& request) {
  TRY(auto* through, rules_of(call));
  auto rules = through->rules();
  for (const auto& prefix : request.ecrRepositoryPrefixes)
    if (std::ranges::count(rules, prefix, &registry::PullThroughRule::prefix) == 0) return no_rule(call, prefix);
  if (!request.ecrRepositoryPrefixes.empty())
    std::erase_if(rules, [&](const auto& rule) { return std::ranges::count(request.ecrRepositoryPrefixes, rule.prefix) == 0; });
  TRY(auto page, paginate(call, std::move(rules), request.nextToken, page_size(request.maxResults, 100), [](const auto& rule) { return rule.prefix; },
                          "InvalidParameterException"));
  DescribePullThroughCacheRulesResponse out;
  for (const auto& rule : page.items) {
    auto wire = to_wire<PullThroughCacheRule>(call, rule);
    wire.createdAt = rule.created_at;
    wire.updatedAt = rule.created_at;
    if (!rule.kind.empty()) wire.upstreamRegistry = rule.kind;
    out.pullThroughCacheRules.push_back(std::move(wire));
  }
  out.nextToken = page.next_token;
  return out;
}

Result<DeletePullThroughCacheRuleResponse> delete_pull_through_cache_rule(Call& call, const DeletePullThroughCacheRuleRequest& request) {
  TRY(auto* through, rules_of(call));
  auto removed = through->remove(request.ecrRepositoryPrefix);
  if (!removed && removed.error().code == Code::NotFound) return no_rule(call, request.ecrRepositoryPrefix);
  if (!removed) return fail(std::move(removed).error());
  auto out = to_wire<DeletePullThroughCacheRuleResponse>(call, *removed);
  out.createdAt = removed->created_at;
  return out;
}

Result<ValidatePullThroughCacheRuleResponse> validate_pull_through_cache_rule(Call& call, const ValidatePullThroughCacheRuleRequest& request) {
  TRY(auto rule, find_rule(call, request.ecrRepositoryPrefix));
  auto valid = call.platform.registry->pull_through().validate(rule);
  auto out = to_wire<ValidatePullThroughCacheRuleResponse>(call, rule);
  out.isValid = valid.has_value();
  if (!valid) out.failure = valid.error().message;
  return out;
}

}  // namespace watari::aws::ecr
