#include "net/sigv4.h"

#include <algorithm>
#include <ctime>

#include "base/digest.h"
#include "base/strings.h"

namespace watari::net {
namespace {

// The path with dot segments and repeated slashes removed, its already encoded segments encoded once more (all services but S3).
std::string canonical_path(std::string_view path) {
  std::vector<std::string> kept;
  auto segments = split(path, '/');
  for (const auto& segment : segments) {
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else {
      kept.push_back(percent_encode(segment));
    }
  }
  if (kept.empty()) return "/";
  return "/" + join(kept, "/") + (path.ends_with('/') ? "/" : "");
}

std::string canonical_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [name, value] : parse_query(query, false))
    if (name != "X-Amz-Signature") pairs.emplace_back(percent_encode(name), percent_encode(value));
  std::ranges::sort(pairs);
  std::string out;
  for (const auto& [name, value] : pairs) out += (out.empty() ? "" : "&") + name + "=" + value;
  return out;
}

std::string canonical_value(const Headers& headers, std::string_view name) {
  std::string out;
  bool first = true;
  for (const auto& [header, value] : headers.items()) {
    if (to_lower(header) != name) continue;
    if (!first) out += ',';
    first = false;
    bool space = false;
    for (char c : trim(value)) {
      if (c == ' ' && space) continue;
      space = c == ' ';
      out += c;
    }
  }
  return out;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query, bool plus_is_space) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& part : split(query, '&')) {
    if (part.empty()) continue;
    auto decoded = [&](std::string text) {
      if (plus_is_space) std::ranges::replace(text, '+', ' ');
      return percent_decode(text).value_or(text);
    };
    auto equals = part.find('=');
    out.emplace_back(decoded(part.substr(0, equals)), equals == std::string::npos ? "" : decoded(part.substr(equals + 1)));
  }
  return out;
}

std::string canonical_request(const Request& request, const SigV4& covered) {
  std::string out = request.method + "\n" + canonical_path(request.path) + "\n" + canonical_query(request.query) + "\n";
  for (const auto& name : covered.signed_headers) out += name + ":" + canonical_value(request.headers, name) + "\n";
  return out + "\n" + join(covered.signed_headers, ";") + "\n" + covered.payload_sha256;
}

std::string sigv4_signature(std::string_view secret, std::string_view canonical, const SigV4& covered) {
  auto bytes = [](std::string_view text) {
    return std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  };
  auto key = hmac_sha256(bytes("AWS4" + std::string(secret)), covered.date());
  for (const auto& part : {covered.region, covered.service, std::string("aws4_request")}) key = hmac_sha256(key, part);
  auto to_sign = std::string(kSigV4Algorithm) + "\n" + covered.timestamp + "\n" + covered.scope() + "\n" + sha256_hex(canonical);
  return hex(hmac_sha256(key, to_sign));
}

std::string sigv4_timestamp(Time time) {
  auto seconds = static_cast<std::time_t>(std::chrono::floor<Seconds>(time).time_since_epoch().count());
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[24];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

void sign(Request& request, const AwsKey& key, std::string region, std::string service, Time now) {
  SigV4 covered{sigv4_timestamp(now), std::move(region), std::move(service), {}, sha256_hex(request.body)};
  request.headers.set("x-amz-date", covered.timestamp);
  for (const auto& [header, value] : request.headers.items()) {
    auto name = to_lower(header);
    if (name == "host" || name == "content-type" || name.starts_with("x-amz-")) covered.signed_headers.push_back(name);
  }
  std::ranges::sort(covered.signed_headers);
  auto repeated = std::ranges::unique(covered.signed_headers);
  covered.signed_headers.erase(repeated.begin(), repeated.end());
  auto signature = sigv4_signature(key.secret, canonical_request(request, covered), covered);
  request.headers.set("authorization", fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kSigV4Algorithm, key.id,
                                                   covered.scope(), join(covered.signed_headers, ";"), signature));
}

}  // namespace watari::net
