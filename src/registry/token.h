#pragma once
// Passwords for `docker login --username AWS`, as ecr:GetAuthorizationToken hands them out: the access key id, when it ends, and an HMAC of both
// under the key's secret. Nothing is stored: deleting the key ends its tokens.
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace watari::registry {

// `principal` is the ARN of whom it is handed out to; without one, the key's owner. It is part of what is signed.
std::string make_token(std::string_view access_key, std::string_view secret, Time expires_at, std::string_view principal = {});

// For a URL that may be read without logging in: valid for this path only.
inline constexpr std::string_view kUrlToken = "X-Watari-Token";
std::string make_url_token(std::string_view access_key, std::string_view secret, std::string_view path, Time expires_at);

using SecretOf = std::function<std::optional<std::string>(std::string_view access_key)>;

// User and password of Basic authentication: an access key id with its secret, or "AWS" with a token that has not ended.
// The ARN that the token was made for, "" for the key's owner, nothing when the password is wrong.
std::optional<std::string> principal_of(std::string_view user, std::string_view password, const SecretOf& secret_of, Time now);
bool password_matches(std::string_view user, std::string_view password, const SecretOf& secret_of, Time now);

bool url_token_matches(std::string_view path, std::string_view token, const SecretOf& secret_of, Time now);

}  // namespace watari::registry
