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
Result<Parameter> to_wire(const Call& call, const std::string& name, const vault::Version& version, bool decrypt);

}  // namespace watari::aws::ssm
