#pragma once
// The key-encryption key of a server: ROOT/master.key, mode 0600, made once. Seals values with AES-256-GCM under a data key of
// their own, which is sealed under this key (envelope encryption; docs/formats/vault-envelope.md). Immutable; any thread.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace watari::vault {

class MasterKey {
 public:
  using Bytes = std::array<std::uint8_t, 32>;

  // Reads the file, or makes it when `may_create`. FailedPrecondition when it is missing and may not be made, Corrupt when it
  // is no key, PermissionDenied when others could read it.
  static Result<MasterKey> open(const std::string& path, bool may_create);
  explicit MasterKey(const Bytes& key) : key_(key) {}

  // Base64 text. `context` is authenticated, not stored: unseal() wants the same.
  Result<std::string> seal(std::string_view plaintext, std::string_view context) const;
  // Corrupt when the text was changed, moved to another context, or sealed under another key.
  Result<std::string> unseal(std::string_view sealed, std::string_view context) const;

 private:
  Bytes key_;
};

}  // namespace watari::vault
