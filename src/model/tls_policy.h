#pragma once
// The security policies of TLS listeners: which versions and ciphers they take.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
#include <span>
#include <string_view>

namespace watari::model {

struct TlsPolicy {
  std::string_view name;
  std::string_view oldest, newest;  // TLSv1.0 … TLSv1.3
  std::string_view ciphers;         // OpenSSL's names, in order of preference, joined by ':'; those of TLS 1.3 first (TLS_…)
};

std::span<const TlsPolicy> tls_policies();
const TlsPolicy* find_tls_policy(std::string_view name);  // nullptr when there is none of that name

// What CreateListener takes when the request names none.
constexpr std::string_view kDefaultTlsPolicy = "ELBSecurityPolicy-2016-08";

}  // namespace watari::model
