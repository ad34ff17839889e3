#pragma once
// AWS Signature Version 4: signing for our clients, the pieces of it for the server's verification (aws/authenticate.h).
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "net/http.h"

namespace watari::net {

struct AwsKey {
  std::string id;
  std::string secret;
};

// What a signature covers besides the request itself.
struct SigV4 {
  std::string timestamp;  // 20261122T170433Z
  std::string region;
  std::string service;    // "ecs", "elasticloadbalancing"
  std::vector<std::string> signed_headers;  // lower case, sorted
  std::string payload_sha256;               // hexadecimal, of the body

  std::string date() const { return timestamp.substr(0, 8); }
  std::string scope() const { return date() + "/" + region + "/" + service + "/aws4_request"; }
};

inline constexpr std::string_view kSigV4Algorithm = "AWS4-HMAC-SHA256";

// The query parameter X-Amz-Signature is left out, as presigned requests want it.
std::string canonical_request(const Request& request, const SigV4& covered);
std::string sigv4_signature(std::string_view secret, std::string_view canonical_request, const SigV4& covered);

std::string sigv4_timestamp(Time time);

// Adds x-amz-date and authorization. `request.path`, `query` and the header "host" must be set; every header that starts
// with "x-amz-", host and content-type are signed.
void sign(Request& request, const AwsKey& key, std::string region, std::string service, Time now);

// "a=1&b" -> {{a,1},{b,}}, decoded. Not-percent-encodings are kept as they are. plus_is_space: of form bodies.
std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query, bool plus_is_space);

}  // namespace watari::net
