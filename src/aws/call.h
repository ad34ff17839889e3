#pragma once
// One call of an operation, as its handler sees it. Owned by the API entry, lives until the handler has returned.
#include <string>
#include <string_view>

#include "aws/error.h"
#include "aws/platform.h"
#include "base/clock.h"
#include "codec/json.h"
#include "model/scope.h"

namespace watari::aws {

struct Call {
  model::Scope scope;     // account and region the call is signed for
  std::string_view operation;  // "CreateCluster"
  std::string request_id;
  std::string principal;  // ARN of the caller
  Time now;               // one reading of the clock for the whole call
  Platform& platform;
  const codec::Json& request;  // members as they were sent, by their model names
  std::string host{};   // by which name the caller reached the server, and whether by HTTPS
  bool secure = false;
  std::string user_id{};  // of the caller: the account of root, "AROA…:name" of a role's session

  // Was the top-level member sent? Lists and maps are plain members, so this tells "loadBalancers": [] from its absence.
  bool given(std::string_view member) const { return request.has(member) && !request[member].is_null(); }
};

}  // namespace watari::aws
