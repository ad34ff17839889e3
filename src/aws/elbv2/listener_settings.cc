// What listeners have beside port and rules: further certificates, security policies, attributes.
#include <algorithm>

#include "aws/elbv2/wire.h"
#include "aws/gen/elbv2/add_listener_certificates.h"
#include "aws/gen/elbv2/describe_listener_attributes.h"
#include "aws/gen/elbv2/describe_listener_certificates.h"
#include "aws/gen/elbv2/describe_ssl_policies.h"
#include "aws/gen/elbv2/modify_listener_attributes.h"
#include "aws/gen/elbv2/remove_listener_certificates.h"
#include "base/strings.h"
#include "model/tls_policy.h"

namespace watari::aws::elbv2 {

namespace {

std::vector<std::string> arns_of(const std::vector<Certificate>& certificates) {
  std::vector<std::string> arns;
  for (const auto& certificate : certificates) arns.push_back(certificate.CertificateArn.value_or(""));
  return arns;
}

std::span<const AttributeRule> attributes_of(const model::Listener& listener) {
  static constexpr AttributeRule kNetwork[] = {{"tcp.idle_timeout.seconds", "350", "60-6000"}};
  static constexpr AttributeRule kApplication[] = {{"routing.http.response.server.enabled", "true", ""}};
  return listener.protocol == "TCP" || listener.protocol == "TLS" ? std::span<const AttributeRule>(kNetwork) : kApplication;
}

std::vector<ListenerAttribute> attributes_to_wire(const model::Listener& listener) {
  std::vector<ListenerAttribute> out;
  for (const auto& attribute : all_attributes(attributes_of(listener), listener.attributes)) out.push_back({.Key = attribute.key, .Value = attribute.value});
  return out;
}

}  // namespace

Result<AddListenerCertificatesResponse> add_listener_certificates(Call& call, const AddListenerCertificatesRequest& request) {
  TRY(auto listener, find_listener(call, request.ListenerArn));
  TRY_VOID(control::add_listener_certificates(*call.platform.control, listener.arn, arns_of(request.Certificates)));
  AddListenerCertificatesResponse response;
  for (const auto& arn : arns_of(request.Certificates)) response.Certificates.push_back({.CertificateArn = arn, .IsDefault = false});
  return response;
}

Result<RemoveListenerCertificatesResponse> remove_listener_certificates(Call& call, const RemoveListenerCertificatesRequest& request) {
  TRY(auto listener, find_listener(call, request.ListenerArn));
  TRY_VOID(control::remove_listener_certificates(*call.platform.control, listener.arn, arns_of(request.Certificates)));
  return RemoveListenerCertificatesResponse{};
}

Result<DescribeListenerCertificatesResponse> describe_listener_certificates(Call& call, const DescribeListenerCertificatesRequest& request) {
  TRY(auto listener, find_listener(call, request.ListenerArn));
  auto first = listener.certificates.empty() ? "" : listener.certificates.front();
  TRY(auto page, paginate(call, std::move(listener.certificates), request.Marker, page_size(request.PageSize, 400, 400), std::identity{},
                          kInvalid));
  DescribeListenerCertificatesResponse response{.NextMarker = std::move(page.next_token)};
  for (const auto& arn : page.items) response.Certificates.push_back({.CertificateArn = arn, .IsDefault = arn == first});
  return response;
}

Result<DescribeSSLPoliciesResponse> describe_ssl_policies(Call& call, const DescribeSSLPoliciesRequest& request) {
  std::vector<const model::TlsPolicy*> found;
  for (const auto& policy : model::tls_policies())
    if (request.Names.empty() || std::ranges::find(request.Names, policy.name) != request.Names.end()) found.push_back(&policy);
  for (const auto& name : request.Names)
    if (!model::find_tls_policy(name)) return error("SSLPolicyNotFound", "SSL policy '{}' not found", name);
  TRY(auto page, paginate(call, std::move(found), request.Marker, page_size(request.PageSize, 400, 400),
                          [](const model::TlsPolicy* policy) { return std::string(policy->name); }, kInvalid));
  DescribeSSLPoliciesResponse response{.NextMarker = std::move(page.next_token)};
  for (const auto* policy : page.items) {
    SslPolicy wire{.Name = std::string(policy->name)};
    for (const char* version : {"TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1.0"})
      if (version >= policy->oldest && version <= policy->newest) wire.SslProtocols.push_back(version == std::string_view("TLSv1.0") ? "TLSv1" : version);
    int priority = 0;
    for (auto& cipher : split(std::string(policy->ciphers), ':')) wire.Ciphers.push_back({.Name = std::move(cipher), .Priority = ++priority});
    wire.SupportedLoadBalancerTypes = {"application", "network"};
    response.SslPolicies.push_back(std::move(wire));
  }
  return response;
}

Result<DescribeListenerAttributesResponse> describe_listener_attributes(Call& call, const DescribeListenerAttributesRequest& request) {
  TRY(auto listener, find_listener(call, request.ListenerArn));
  return DescribeListenerAttributesResponse{.Attributes = attributes_to_wire(listener)};
}

Result<ModifyListenerAttributesResponse> modify_listener_attributes(Call& call, const ModifyListenerAttributesRequest& request) {
  TRY(auto listener, call.platform.control->commit([&]() -> Result<model::Listener> {
    TRY(auto changed, find_listener(call, request.ListenerArn));
    for (const auto& attribute : request.Attributes)
      TRY_VOID(set_attribute(attributes_of(changed), changed.attributes, attribute.Key.value_or(""), attribute.Value.value_or("")));
    state_of(call).listeners.put(changed.arn, changed);
    return changed;
  }));
  return ModifyListenerAttributesResponse{.Attributes = attributes_to_wire(listener)};
}

}  // namespace watari::aws::elbv2
