#include "aws/namespaces.h"

#include <algorithm>
#include <map>

#include "base/digest.h"
#include "control/control.h"

namespace watari::aws {
namespace {

std::string namespace_id(const model::Scope& scope, const std::string& name) { return "ns-" + sha256_hex(scope.key() + "/" + name).substr(0, 16); }

}  // namespace

std::string namespace_arn(const model::Scope& scope, const std::string& name) {
  return fmt::format("arn:aws:servicediscovery:{}:{}:namespace/{}", scope.region, scope.account, namespace_id(scope, name));
}

std::vector<Namespace> namespaces_of(const control::State& state, const model::Scope& scope) {
  std::map<std::string, Namespace> found;
  state.services.each(control::scope_prefix(scope), [&](const std::string&, const model::Service& service) {
    const auto& name = service.target.names_namespace;
    if (service.status == "INACTIVE" || name.empty()) return;
    auto [at, first] = found.try_emplace(name, Namespace{name, namespace_id(scope, name), namespace_arn(scope, name), service.created_at});
    at->second.created_at = std::min(at->second.created_at, service.created_at);
    ++at->second.services;
  });
  std::vector<Namespace> out;
  for (auto& [name, one] : found) out.push_back(std::move(one));
  return out;
}

std::optional<Namespace> find_namespace(const control::State& state, const model::Scope& scope, const std::string& text) {
  for (auto& one : namespaces_of(state, scope))
    if (text == one.name || text == one.id || text == one.arn) return one;
  return std::nullopt;
}

}  // namespace watari::aws
