#pragma once
// Parameters: names with values in versions, sealed under the master key. What SSM Parameter Store is to AWS.
// Owner: apps/watari. Thread: the control loop only, as the database it shares with control.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/scope.h"
#include "store/table.h"
#include "vault/master_key.h"

namespace watari::vault {

struct Version {
  std::int64_t version = 0;
  std::string type;   // String, StringList, SecureString
  std::string sealed;
  std::string description;
  std::string allowed_pattern;
  std::string tier;   // Standard, Advanced
  Time modified{};
  std::string modified_by;  // ARN
  WATARI_FIELDS(Version, version, type, sealed, description, allowed_pattern, tier, modified, modified_by)
};

struct Parameter {
  std::string name;
  Version latest;
  std::vector<model::Tag> tags;
  WATARI_FIELDS(Parameter, name, latest, tags)
};

struct Put {
  std::string name;
  std::string value;
  std::string type;  // empty: as it is (only with overwrite)
  bool overwrite = false;
  std::optional<std::string> description;      // none: as it is
  std::optional<std::string> allowed_pattern;
  std::string tier;  // empty: Standard, or as it is; "Intelligent-Tiering" chooses by size
  std::vector<model::Tag> tags;
  std::string by;
  Time now{};
};

class Vault {
 public:
  static constexpr std::size_t kMaxVersions = 100;

  // Opens ROOT/master.key. FailedPrecondition when values are stored and the key is missing; Corrupt when it is another key.
  static Result<std::unique_ptr<Vault>> open(const std::string& root, store::Database& database);

  // All errors carry SSM's names in Error::reason.
  Result<Version> put(const model::Scope& scope, const Put& put);
  const Parameter* find(const model::Scope& scope, const std::string& name) const;
  // The version, or the latest; ParameterNotFound, ParameterVersionNotFound.
  Result<Version> version(const model::Scope& scope, const std::string& name, std::optional<std::int64_t> version = {}) const;
  std::vector<Version> history(const model::Scope& scope, const std::string& name) const;  // oldest first, at most 100
  Result<std::string> open_value(const model::Scope& scope, const std::string& name, const Version& version) const;
  Result<void> remove(const model::Scope& scope, const std::vector<std::string>& names);  // unknown ones are ignored
  std::vector<const Parameter*> list(const model::Scope& scope) const;                    // by name
  Result<void> set_tags(const model::Scope& scope, const std::string& name, std::vector<model::Tag> tags);

  // Seals what other rooms keep (private keys of certificates); unseal() wants the same context.
  Result<std::string> seal(const std::string& plaintext, const std::string& context) const { return key_.seal(plaintext, context); }
  Result<std::string> unseal(const std::string& sealed, const std::string& context) const { return key_.unseal(sealed, context); }

  // The value that a container asks for with valueFrom: a name, or an ARN. Errors name the parameter, never the value.
  Result<std::string> read_secret(const model::Scope& scope, const std::string& value_from) const;

 private:
  Vault(MasterKey key, store::Database& database);
  Result<void> check_key() const;

  MasterKey key_;
  store::Database& database_;
  store::Table<Parameter> parameters_;  // <scope>:<name>
  store::Table<Version> versions_;      // <scope>:<name>:<version>
};

}  // namespace watari::vault
