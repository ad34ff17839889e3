#include "registry/token.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "base/strings.h"

namespace watari::registry {

namespace {

constexpr std::string_view kLogin = "watari-registry-token\n";
// No path begins with the other purpose's text, so a token for a URL is none for logging in.
std::string url_purpose(std::string_view path) { return "watari-url-token\n" + std::string(path) + "\n"; }

std::string signature_of(std::string_view purpose, std::string_view access_key, std::string_view expiry, std::string_view secret) {
  const std::span key(reinterpret_cast<const std::uint8_t*>(secret.data()), secret.size());
  return hex(hmac_sha256(key, std::string(purpose) + std::string(access_key) + "\n" + std::string(expiry)));
}

std::string make(std::string_view purpose, std::string_view access_key, std::string_view secret, Time expires_at) {
  const auto expiry = std::to_string(expires_at.time_since_epoch().count());
  return fmt::format("{}.{}.{}", access_key, expiry, signature_of(purpose, access_key, expiry, secret));
}

// Takes as long for a wrong first byte as for a wrong last one.
bool same(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

std::string make_token(std::string_view access_key, std::string_view secret, Time expires_at) { return make(kLogin, access_key, secret, expires_at); }

std::string make_url_token(std::string_view access_key, std::string_view secret, std::string_view path, Time expires_at) {
  return make(url_purpose(path), access_key, secret, expires_at);
}

namespace {

bool token_matches(std::string_view purpose, std::string_view token, const SecretOf& secret_of, Time now) {
  const auto parts = split(token, '.');
  if (parts.size() != 3) return false;
  auto secret = secret_of(parts[0]);
  auto expiry = parse_number<std::int64_t>(parts[1]);
  return secret && expiry && same(signature_of(purpose, parts[0], parts[1], *secret), parts[2]) && now < Time(Millis(*expiry));
}

}  // namespace

bool url_token_matches(std::string_view path, std::string_view token, const SecretOf& secret_of, Time now) {
  return token_matches(url_purpose(path), token, secret_of, now);
}

bool password_matches(std::string_view user, std::string_view password, const SecretOf& secret_of, Time now) {
  if (user == "AWS") return token_matches(kLogin, password, secret_of, now);
  auto secret = secret_of(user);
  return secret && same(*secret, password);
}

}  // namespace watari::registry
