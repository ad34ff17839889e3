#pragma once
// What a function's name stands for: deployments call functions at their stages by name or ARN, as they would call AWS Lambda.
#include <string>

#include "base/clock.h"
#include "base/fields.h"
#include "model/scope.h"

namespace watari::model {

// One of the two is set.
struct Function {
  Scope scope;
  std::string name;
  std::string url;              // gets the event as a POST
  std::string task_definition;  // "family" or "family:revision", run as one task
  Time updated_at{};
  WATARI_FIELDS(Function, scope, name, url, task_definition, updated_at)
};

}  // namespace watari::model
