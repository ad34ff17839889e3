#pragma once
// The access keys that may sign requests. So far the root user's, kept in ROOT/credentials, which is at the same time an AWS
// shared-credentials file that clients can be pointed at. Immutable after open(); copies are cheap; any thread.
#include <optional>
#include <string>

#include "base/result.h"

namespace watari::aws {

struct Principal {
  std::string account;
  std::string user_id;
  std::string arn;
};

class Credentials {
 public:
  // Reads ROOT/credentials, or makes it (mode 0600, whole or not at all) from WATARI_ROOT_ACCESS_KEY_ID and
  // WATARI_ROOT_SECRET_ACCESS_KEY, or with a random key. Corrupt when the file has no usable [default] profile.
  static Result<Credentials> open(const std::string& root);
  // For tests and tools.
  Credentials(std::string access_key_id, std::string secret) : access_key_id_(std::move(access_key_id)), secret_(std::move(secret)) {}

  struct Key {
    std::string secret;
    Principal principal;
  };
  std::optional<Key> find(std::string_view access_key_id) const;

  const std::string& access_key_id() const { return access_key_id_; }

 private:
  std::string access_key_id_;
  std::string secret_;
};

}  // namespace watari::aws
