#include <algorithm>

#include "aws/elbv2/wire.h"
#include "aws/gen/elbv2/create_listener.h"
#include "aws/gen/elbv2/delete_listener.h"
#include "aws/gen/elbv2/describe_listeners.h"
#include "aws/gen/elbv2/modify_listener.h"

namespace watari::aws::elbv2 {

namespace {

// Creating or modifying names the default one only; others come by AddListenerCertificates.
Result<std::optional<std::string>> default_certificate(const std::vector<Certificate>& certificates) {
  if (certificates.empty()) return std::optional<std::string>();
  if (certificates.size() > 1 || !certificates.front().CertificateArn)
    return error(kInvalid, "Exactly one certificate ARN can be specified here; use AddListenerCertificates for further ones");
  return std::optional(*certificates.front().CertificateArn);
}

}  // namespace

Result<CreateListenerResponse> create_listener(Call& call, const CreateListenerRequest& request) {
  TRY(auto balancer, find_load_balancer(call, request.LoadBalancerArn));
  if (!request.Protocol) return error(kInvalid, "A listener protocol must be specified");
  if (!request.Port) return error(kInvalid, "A listener port must be specified");
  TRY(auto action, action_from_wire(request.DefaultActions));
  model::Listener listener{.scope = call.scope, .load_balancer = balancer.arn, .protocol = *request.Protocol, .port = *request.Port};
  TRY(auto certificate, default_certificate(request.Certificates));
  if (certificate) listener.certificates.push_back(*certificate);
  listener.ssl_policy = request.SslPolicy.value_or("");
  TRY(listener.tags, tags_from_wire(request.Tags));
  TRY(auto made, control::create_listener(*call.platform.control, std::move(listener), action));
  CreateListenerResponse response;
  response.Listeners.push_back(to_wire(call, made));
  return response;
}

Result<DescribeListenersResponse> describe_listeners(Call& call, const DescribeListenersRequest& request) {
  std::vector<model::Listener> found;
  if (request.LoadBalancerArn) {
    TRY(auto balancer, find_load_balancer(call, *request.LoadBalancerArn));
    found = control::listeners_of(state_of(call), balancer.arn);
  } else if (request.ListenerArns.empty()) {
    return error(kInvalid, "Either a load balancer ARN or listener ARNs must be specified");
  }
  for (const auto& arn : request.ListenerArns) {
    TRY(auto listener, find_listener(call, arn));
    found.push_back(listener);
  }
  std::ranges::sort(found, {}, &model::Listener::arn);
  TRY(auto page, paginate(call, std::move(found), request.Marker, page_size(request.PageSize, 400, 400),
                          &model::Listener::arn, kInvalid));
  DescribeListenersResponse response{.NextMarker = std::move(page.next_token)};
  for (const auto& listener : page.items) response.Listeners.push_back(to_wire(call, listener));
  return response;
}

Result<ModifyListenerResponse> modify_listener(Call& call, const ModifyListenerRequest& request) {
  TRY(auto listener, find_listener(call, request.ListenerArn));
  control::ListenerChange change{.port = request.Port, .protocol = request.Protocol, .ssl_policy = request.SslPolicy};
  TRY(change.certificate, default_certificate(request.Certificates));
  if (!request.DefaultActions.empty()) {
    TRY(change.default_action, action_from_wire(request.DefaultActions));
  }
  TRY(auto changed, control::modify_listener(*call.platform.control, listener.arn, change));
  ModifyListenerResponse response;
  response.Listeners.push_back(to_wire(call, changed));
  return response;
}

Result<DeleteListenerResponse> delete_listener(Call& call, const DeleteListenerRequest& request) {
  TRY(auto listener, find_listener(call, request.ListenerArn));
  TRY_VOID(control::delete_listener(*call.platform.control, listener.arn));
  return DeleteListenerResponse{};
}

}  // namespace watari::aws::elbv2
