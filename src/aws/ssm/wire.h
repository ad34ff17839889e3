#pragma once
// What the SSM handlers share: the vault's parameters in SSM's words.
#include <string>

#include "aws/call.h"
#include "aws/gen/ssm/shape/Parameter.h"
#include "vault/name.h"
#include "vault/vault.h"

namespace watari::aws::ssm {

inline constexpr std::string_view kKeyId = "alias/aws/ssm";  // stands for the server's master key
inline constexpr std::string_view kBadToken = "InvalidNextToken";

inline bool is_secure(const vault::Version& version) { return version.type == "SecureString"; }
// The value; of a SecureString without decryption its sealed form, as SSM answers the ciphertext.
Result<std::string> shown_value(const Call& call, const std::string& name, const vault::Version& version, bool decrypt);
// What a version says about itself in ParameterMetadata and ParameterHistory, which have these members alike.
template <class Wire>
void describe_version(Wire& out, const vault::Version& version) {
  out.Type = version.type;
  if (is_secure(version)) out.KeyId = kKeyId;
  out.LastModifiedDate = version.modified;
  out.LastModifiedUser = version.modified_by;
  if (!version.description.empty()) out.Description = version.description;
  if (!version.allowed_pattern.empty()) out.AllowedPattern = version.allowed_pattern;
  out.Version = version.version;
  out.Tier = version.tier;
  out.DataType = "text";
}
Result<Parameter> to_wire(const Call& call, const std::string& name, const vault::Version& version, bool decrypt);

}  // namespace watari::aws::ssm
