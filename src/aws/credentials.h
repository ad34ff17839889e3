#pragma once
// The access keys that may sign requests: the root user's, kept in ROOT/credentials, which is at the same time an AWS
// shared-credentials file that clients can be pointed at, and temporary ones of assumed roles, which are kept nowhere: their
// session token says whose they are and until when, under an HMAC of the root key's secret. Immutable after open(); copies are
// cheap; any thread.
#include <optional>
#include <string>

#include "base/clock.h"
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

  struct Session {
    std::string access_key_id, secret, token;
    Time expires_at{};
  };
  Session make_session(const Principal& principal, Time expires_at) const;
  // The key of a session: InvalidClientTokenId when the token is not ours or of another key, ExpiredToken after its end.
  Result<Key> find_session(std::string_view access_key_id, std::string_view token, Time now) const;

  const std::string& access_key_id() const { return access_key_id_; }

 private:
  std::string seal(std::string_view purpose, std::string_view text) const;

  std::string access_key_id_;
  std::string secret_;
};

}  // namespace watari::aws
