// Source: https://docs.aws.amazon.com/cloud-map/latest/api/API_GetNamespace.html
#include "aws/gen/servicediscovery/get_namespace.h"
#include "aws/gen/servicediscovery/list_namespaces.h"
#include "aws/namespaces.h"
#include "aws/page.h"
#include "control/control.h"

namespace watari::aws::servicediscovery {
namespace {

// Namespace and NamespaceSummary have the same members.
template <class Wire>
Wire to_wire(const Call& call, const aws::Namespace& in) {
  Wire out;
  out.Id = in.id;
  out.Arn = in.arn;
  out.ResourceOwner = call.scope.account;
  out.Name = in.name;
  out.Type = "HTTP";
  out.ServiceCount = in.services;
  out.Properties = NamespaceProperties{.HttpProperties = HttpProperties{.HttpName = in.name}};
  out.CreateDate = in.created_at;
  return out;
}

}  // namespace

Result<GetNamespaceResponse> get_namespace(Call& call, const GetNamespaceRequest& request) {
  auto found = find_namespace(call.platform.control->state(), call.scope, request.Id);
  if (!found) return fail(Error{Code::NotFound, fmt::format("No service has names in a namespace {}.", request.Id), "NamespaceNotFound"});
  return GetNamespaceResponse{.Namespace = to_wire<Namespace>(call, *found)};
}

Result<ListNamespacesResponse> list_namespaces(Call& call, const ListNamespacesRequest& request) {
  auto all = namespaces_of(call.platform.control->state(), call.scope);
  TRY(auto page, paginate(call, std::move(all), request.NextToken, page_size(request.MaxResults, 100), [](const auto& one) { return one.name; },
                          "InvalidInput"));
  ListNamespacesResponse response;
  for (const auto& one : page.items) response.Namespaces.push_back(to_wire<NamespaceSummary>(call, one));
  response.NextToken = page.next_token;
  return response;
}

}  // namespace watari::aws::servicediscovery
