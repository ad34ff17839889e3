#include "aws/authenticate.h"

#include <algorithm>
#include <ctime>

#include "base/digest.h"
#include "base/strings.h"
#include "net/sigv4.h"

namespace watari::aws {
namespace {

constexpr Seconds kSkew{300};
constexpr Seconds kLongestPresign{7 * 24 * 3600};

// The parts of a signature, wherever they came from.
struct Claim {
  std::string access_key_id;
  std::string scope_date;
  net::SigV4 covered;
  std::string signature;
  std::optional<Seconds> expires;  // presigned
};

auto refuse(std::string reason, std::string message) {
  return fail(Error{Code::Unauthenticated, std::move(message), std::move(reason)});
}

auto incomplete(std::string_view what) {
  return refuse("IncompleteSignature", fmt::format("{} Source: Signature Version 4 of the request.", what));
}

std::optional<Time> parse_timestamp(const std::string& text) {
  std::tm parts{};
  const char* end = ::strptime(text.c_str(), "%Y%m%dT%H%M%SZ", &parts);
  if (!end || *end || text.size() != 16) return std::nullopt;
  return Time(Seconds(::timegm(&parts)));
}

// "AKID/20261122/eu-west-1/ecs/aws4_request"
Result<void> read_credential(std::string_view credential, Claim& claim) {
  auto parts = split(credential, '/');
  if (parts.size() != 5 || parts[4] != "aws4_request")
    return incomplete(fmt::format("Credential must have the form ID/date/region/service/aws4_request, not '{}'.", credential));
  claim.access_key_id = parts[0];
  claim.scope_date = parts[1];
  claim.covered.region = parts[2];
  claim.covered.service = parts[3];
  auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (parts[2].empty() || parts[2].size() > 32 || !std::ranges::all_of(parts[2], plain))
    return incomplete(fmt::format("'{}' is not the name of a region.", parts[2]));
  return {};
}

Result<Claim> from_header(const net::Request& request, std::string_view authorization) {
  Claim claim;
  std::string credential, headers;
  auto space = authorization.find(' ');
  if (authorization.substr(0, space) != net::kSigV4Algorithm) return incomplete("Authorization must begin with AWS4-HMAC-SHA256.");
  for (const auto& part : split(authorization.substr(space + 1), ',')) {
    auto text = trim(part);
    auto equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    auto name = text.substr(0, equals);
    auto value = std::string(text.substr(equals + 1));
    if (name == "Credential") credential = value;
    if (name == "SignedHeaders") headers = value;
    if (name == "Signature") claim.signature = value;
  }
  if (credential.empty() || headers.empty() || claim.signature.empty())
    return incomplete("Authorization must have Credential, SignedHeaders and Signature.");
  claim.covered.signed_headers = split(headers, ';');
  claim.covered.timestamp = std::string(request.headers.get("x-amz-date"));
  TRY_VOID(read_credential(credential, claim));
  return claim;
}

Result<Claim> from_query(const net::Request& request) {
  Claim claim;
  std::string credential, headers, expires;
  for (const auto& [name, value] : net::parse_query(request.query, false)) {
    if (name == "X-Amz-Credential") credential = value;
    if (name == "X-Amz-SignedHeaders") headers = value;
    if (name == "X-Amz-Signature") claim.signature = value;
    if (name == "X-Amz-Date") claim.covered.timestamp = value;
    if (name == "X-Amz-Expires") expires = value;
  }
  if (credential.empty() || headers.empty() || claim.signature.empty())
    return incomplete("A presigned request must have X-Amz-Credential, X-Amz-SignedHeaders and X-Amz-Signature.");
  claim.covered.signed_headers = split(headers, ';');
  auto seconds = parse_number<std::int64_t>(expires);
  if (!seconds || *seconds < 1 || Seconds(*seconds) > kLongestPresign) return incomplete("X-Amz-Expires must be 1 to 604800 seconds.");
  claim.expires = Seconds(*seconds);
  TRY_VOID(read_credential(credential, claim));
  return claim;
}

bool is_presigned(const net::Request& request) { return request.query.find("X-Amz-Signature=") != std::string::npos; }

Result<Claim> read_claim(const net::Request& request) {
  if (auto authorization = request.headers.find("authorization")) return from_header(request, *authorization);
  if (is_presigned(request)) return from_query(request);
  return refuse("MissingAuthenticationToken", "Request is missing Authentication Token");
}

Result<void> check_time(const Claim& claim, Time now) {
  auto at = parse_timestamp(claim.covered.timestamp);
  if (!at) return incomplete("x-amz-date must be present, in the form 20261122T170433Z.");
  if (claim.scope_date != claim.covered.date())
    return refuse("SignatureDoesNotMatch", fmt::format("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: '{}' != '{}'.",
                                                       claim.scope_date, claim.covered.date()));
  auto shown = [](Time time) { return net::sigv4_timestamp(time); };
  if (*at > now + kSkew)
    return refuse("RequestExpired", fmt::format("Signature not yet current: {} is still later than {} ({} + 5 min.)",
                                                claim.covered.timestamp, shown(now + kSkew), shown(now)));
  auto lives = claim.expires.value_or(kSkew);
  if (*at < now - lives)
    return refuse("RequestExpired", fmt::format("Signature expired: {} is now earlier than {} ({} - {} s.)", claim.covered.timestamp,
                                                shown(now - lives), shown(now), lives.count()));
  return {};
}

// What decides about the request must be signed; otherwise somebody else could change it.
Result<void> check_covers(const net::Request& request, const Claim& claim) {
  const auto& names = claim.covered.signed_headers;
  auto covered = [&](std::string_view name) { return std::ranges::find(names, name) != names.end(); };
  if (!covered("host")) return refuse("SignatureDoesNotMatch", "'Host' must be a 'SignedHeader' in the AWS Authorization.");
  for (const auto& [header, value] : request.headers.items())
    if (auto name = to_lower(header); name.starts_with("x-amz-") && !covered(name))
      return refuse("SignatureDoesNotMatch", fmt::format("'{}' must be a 'SignedHeader' in the AWS Authorization.", name));
  return {};
}

// Of temporary keys. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
std::string session_token(const net::Request& request) {
  if (auto header = request.headers.find("x-amz-security-token")) return std::string(*header);
  for (const auto& [name, value] : net::parse_query(request.query, false))
    if (name == "X-Amz-Security-Token") return value;
  return "";
}

bool same(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]));
  return difference == 0;
}

}  // namespace

std::string claimed_service(const net::Request& request) {
  auto claim = read_claim(request);
  return claim ? claim->covered.service : "";
}

Result<Caller> authenticate(const net::Request& request, const Credentials& credentials, Time now) {
  TRY(auto claim, read_claim(request));
  auto key = credentials.find(claim.access_key_id);
  if (!key) {
    TRY(key, credentials.find_session(claim.access_key_id, session_token(request), now));
  }
  TRY_VOID(check_time(claim, now));
  TRY_VOID(check_covers(request, claim));
  claim.covered.payload_sha256 = sha256_hex(request.body);
  if (auto sent = request.headers.find("x-amz-content-sha256"); sent && *sent != claim.covered.payload_sha256)
    return refuse("SignatureDoesNotMatch", "The provided 'x-amz-content-sha256' header does not match what was computed.");
  auto expected = net::sigv4_signature(key->secret, net::canonical_request(request, claim.covered), claim.covered);
  if (!same(expected, claim.signature))
    return refuse("SignatureDoesNotMatch",
                  "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and "
                  "signing method. Consult the service documentation for details.");
  return Caller{key->principal, claim.covered.region, claim.covered.service};
}

}  // namespace watari::aws
