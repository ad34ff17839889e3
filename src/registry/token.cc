#include "registry/token.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "base/strings.h"

namespace watari::registry {

namespace {

constexpr std::string_view kLogin = "watari-registry-token\n";
// No path begins with the other purpose's text, so a token for a URL is none for logging in.
std::string url_purpose(std::string_view path) { return "watari-url-token\n" + std::string(path) + "\n"; }

// "key.expiry", or "key.expiry.principal" with the principal in base64: what is signed, and what stands before the signature.
std::string signature_of(std::string_view purpose, std::string_view claims, std::string_view secret) {
  const std::span key(reinterpret_cast<const std::uint8_t*>(secret.data()), secret.size());
  return hex(hmac_sha256(key, fmt::format("{}{}", purpose, claims)));
}

std::string make(std::string_view purpose, std::string_view access_key, std::string_view secret, Time expires_at, std::string_view principal = {}) {
  auto claims = fmt::format("{}.{}", access_key, expires_at.time_since_epoch().count());
  if (!principal.empty()) claims += "." + base64(principal);
  return claims + "." + signature_of(purpose, claims, secret);
}

// Takes as long for a wrong first byte as for a wrong last one.
bool same(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

std::string make_token(std::string_view access_key, std::string_view secret, Time expires_at, std::string_view principal) {
  return make(kLogin, access_key, secret, expires_at, principal);
}

std::string make_url_token(std::string_view access_key, std::string_view secret, std::string_view path, Time expires_at) {
  return make(url_purpose(path), access_key, secret, expires_at);
}

namespace {

std::optional<std::string> principal_of_token(std::string_view purpose, std::string_view token, const SecretOf& secret_of, Time now) {
  const auto parts = split(token, '.');
  if (parts.size() != 3 && parts.size() != 4) return std::nullopt;
  auto secret = secret_of(parts[0]);
  auto expiry = parse_number<std::int64_t>(parts[1]);
  const auto claims = token.substr(0, token.rfind('.'));
  if (!secret || !expiry || !same(signature_of(purpose, claims, *secret), parts.back()) || now >= Time(Millis(*expiry))) return std::nullopt;
  std::string principal;
  if (parts.size() == 4 && !base64_decode(parts[2], principal)) return std::nullopt;
  return principal;
}

}  // namespace

bool url_token_matches(std::string_view path, std::string_view token, const SecretOf& secret_of, Time now) {
  return principal_of_token(url_purpose(path), token, secret_of, now).has_value();
}

std::optional<std::string> principal_of(std::string_view user, std::string_view password, const SecretOf& secret_of, Time now) {
  if (user == "AWS") return principal_of_token(kLogin, password, secret_of, now);
  auto secret = secret_of(user);
  if (!secret || !same(*secret, password)) return std::nullopt;
  return std::string();
}

bool password_matches(std::string_view user, std::string_view password, const SecretOf& secret_of, Time now) {
  return principal_of(user, password, secret_of, now).has_value();
}

}  // namespace watari::registry
