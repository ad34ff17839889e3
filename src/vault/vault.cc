#include "vault/vault.h"

#include <regex>

#include "base/strings.h"
#include "model/certificate.h"
#include "store/table_code.h"
#include "vault/name.h"

template class watari::store::Table<watari::vault::Parameter>;
template class watari::store::Table<watari::vault::Version>;

namespace watari::vault {
namespace {

constexpr std::size_t kStandardSize = 4096, kAdvancedSize = 8192;

std::string key_of(const model::Scope& scope, const std::string& name) { return scope.key() + ":" + name; }
std::string version_prefix(const model::Scope& scope, const std::string& name) { return key_of(scope, name) + ":"; }
std::string version_key(const model::Scope& scope, const std::string& name, std::int64_t version) {
  return version_prefix(scope, name) + fmt::format("{:020}", version);
}

auto refuse(std::string reason, std::string message, Code code = Code::InvalidArgument) {
  return fail(Error{code, std::move(message), std::move(reason)});
}

// Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
Result<std::string> choose_tier(const Put& put, const Parameter* old) {
  bool large = put.value.size() > kStandardSize;
  bool was_advanced = old && old->latest.tier == "Advanced";
  auto tier = put.tier;
  if (tier.empty()) tier = was_advanced ? "Advanced" : "Standard";
  if (tier == "Intelligent-Tiering") tier = large || was_advanced ? "Advanced" : "Standard";
  if (tier == "Standard" && was_advanced)
    return refuse("ValidationException",
                  "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the "
                  "standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter.");
  if (tier == "Standard" && large)
    return refuse("ValidationException",
                  "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter value, upgrade "
                  "the parameter to use the advanced-parameter tier.");
  if (put.value.size() > kAdvancedSize)
    return refuse("ValidationException", "Advanced tier parameters support a maximum parameter value of 8192 characters.");
  return tier;
}

Result<void> check_pattern(const std::string& pattern, const std::string& value) {
  if (pattern.empty()) return {};
  try {
    // Breadth-first: no recursion and no exponential time, whatever the pattern.
    std::regex compiled(pattern, std::regex::ECMAScript | std::regex_constants::__polynomial);
    if (std::regex_match(value, compiled)) return {};
  } catch (const std::regex_error&) {
    return refuse("InvalidAllowedPatternException", fmt::format("The allowedPattern {} is not a valid regular expression.", pattern));
  }
  return refuse("ParameterPatternMismatchException", fmt::format("Parameter value, cannot be validated against allowedPattern: {}", pattern));
}

Result<void> check_put(const Put& put, const Parameter* old) {
  TRY_VOID(check_name(put.name));
  if (put.value.empty())
    return refuse("ValidationException", "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have "
                                         "length greater than or equal to 1.");
  if (old && !put.overwrite)
    return refuse("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
                  Code::AlreadyExists);
  if (put.overwrite && !put.tags.empty())
    return refuse("ValidationException",
                  "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To "
                  "update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.");
  if (!old && put.type.empty()) return refuse("ValidationException", "A parameter type is required when you create a parameter.");
  return {};
}

}  // namespace

Vault::Vault(MasterKey key, store::Database& database)
    : key_(key), database_(database), parameters_(database, "parameters"), versions_(database, "parameter_versions") {}

Result<std::unique_ptr<Vault>> Vault::open(const std::string& root, store::Database& database) {
  bool sealed_values = store::Table<Version>(database, "parameter_versions").size() > 0;
  // Private keys that other rooms had sealed (seal()) need the same file.
  sealed_values |= store::Table<model::Certificate>(database, "certificates").size() > 0;
  TRY(auto key, MasterKey::open(root + "/master.key", !sealed_values));
  auto vault = std::unique_ptr<Vault>(new Vault(key, database));
  TRY_VOID(vault->check_key());
  return vault;
}

// A key that opens one value is the right one.
Result<void> Vault::check_key() const {
  auto first = versions_.list("", "", 1);
  if (first.empty()) return {};
  auto opened = key_.unseal(first[0].second.sealed, first[0].first);
  if (!opened) return fail(opened.error().within("master.key"));
  return {};
}

Result<Version> Vault::put(const model::Scope& scope, const Put& put) {
  const auto* old = find(scope, put.name);
  TRY_VOID(check_put(put, old));
  Parameter next = old ? *old : Parameter{.name = put.name, .tags = put.tags};
  auto& version = next.latest;
  version.version += 1;
  if (!put.type.empty()) version.type = put.type;
  if (put.description) version.description = *put.description;
  if (put.allowed_pattern) version.allowed_pattern = *put.allowed_pattern;
  version.modified = put.now;
  version.modified_by = put.by;
  TRY(version.tier, choose_tier(put, old));
  TRY_VOID(check_pattern(version.allowed_pattern, put.value));
  auto key = version_key(scope, put.name, version.version);
  TRY(version.sealed, key_.seal(put.value, key));

  store::Transaction transaction(database_);
  versions_.put(key, version);
  parameters_.put(key_of(scope, put.name), next);
  if (version.version > static_cast<std::int64_t>(kMaxVersions))
    versions_.erase(version_key(scope, put.name, version.version - static_cast<std::int64_t>(kMaxVersions)));
  TRY_VOID(transaction.commit());
  return next.latest;
}

const Parameter* Vault::find(const model::Scope& scope, const std::string& name) const { return parameters_.find(key_of(scope, name)); }

Result<Version> Vault::version(const model::Scope& scope, const std::string& name, std::optional<std::int64_t> wanted) const {
  const auto* parameter = find(scope, name);
  if (!parameter) return refuse("ParameterNotFound", fmt::format("Parameter {} not found.", name), Code::NotFound);
  if (!wanted) return parameter->latest;
  const auto* found = versions_.find(version_key(scope, name, *wanted));
  if (!found)
    return refuse("ParameterVersionNotFound",
                  fmt::format("Systems Manager could not find version {} of {}. Verify the version and try again.", *wanted, name), Code::NotFound);
  return *found;
}

std::vector<Version> Vault::history(const model::Scope& scope, const std::string& name) const {
  std::vector<Version> out;
  versions_.each(version_prefix(scope, name), [&](const std::string&, const Version& version) { out.push_back(version); });
  return out;
}

Result<std::string> Vault::open_value(const model::Scope& scope, const std::string& name, const Version& version) const {
  auto value = key_.unseal(version.sealed, version_key(scope, name, version.version));
  if (!value) return fail(value.error().within(fmt::format("parameter {} version {}", name, version.version)));
  return value;
}

Result<void> Vault::remove(const model::Scope& scope, const std::vector<std::string>& names) {
  store::Transaction transaction(database_);
  for (const auto& name : names) {
    for (const auto& [key, version] : versions_.list(version_prefix(scope, name))) versions_.erase(key);
    parameters_.erase(key_of(scope, name));
  }
  return transaction.commit();
}

std::vector<const Parameter*> Vault::list(const model::Scope& scope) const {
  std::vector<const Parameter*> out;
  parameters_.each(scope.key() + ":", [&](const std::string&, const Parameter& parameter) { out.push_back(&parameter); });
  return out;
}

Result<void> Vault::set_tags(const model::Scope& scope, const std::string& name, std::vector<model::Tag> tags) {
  const auto* old = find(scope, name);
  if (!old) return refuse("ParameterNotFound", fmt::format("Parameter {} not found.", name), Code::NotFound);
  store::Transaction transaction(database_);
  auto next = *old;
  next.tags = std::move(tags);
  parameters_.put(key_of(scope, name), next);
  return transaction.commit();
}

Result<std::string> Vault::read_secret(const model::Scope& scope, const std::string& value_from) const {
  TRY(auto reference, parse_reference(scope, value_from));
  TRY(auto found, version(scope, reference.name, reference.version));
  return open_value(scope, reference.name, found);
}

}  // namespace watari::vault
