#pragma once
// Namespaces of ECS Service Connect. One exists while a service has names in it (there is nothing to make before); it is called by its
// name here and, as on AWS, by its ARN in answers. Thread: the control loop.
#include <optional>
#include <string>
#include <vector>

#include "control/state.h"

namespace watari::aws {

struct Namespace {
  std::string name, id, arn;  // "apps", "ns-0a1b…", "arn:aws:servicediscovery:…:namespace/ns-0a1b…"
  Time created_at{};
  int services = 0;
};

std::string namespace_arn(const model::Scope& scope, const std::string& name);

// By name.
std::vector<Namespace> namespaces_of(const control::State& state, const model::Scope& scope);

// The one with this name, id or ARN.
std::optional<Namespace> find_namespace(const control::State& state, const model::Scope& scope, const std::string& text);

}  // namespace watari::aws
