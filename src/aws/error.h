#pragma once
// AWS errors. Handlers answer `return error("ClusterNotFoundException", "Cluster not found.");` or pass on any Error:
// its reason is the AWS name when set, otherwise its code decides (the table is in error.cc).
#include <string>

#include "aws/service.h"
#include "base/result.h"

namespace watari::aws {

// The name is the shape's or the wire's; both arrive as the wire's. Messages are formatted with fmt.
template <class... Args>
auto error(std::string name, fmt::format_string<Args...> format, Args&&... args) {
  return fail(Error{Code::InvalidArgument, fmt::format(format, std::forward<Args>(args)...), std::move(name)});
}

struct WireError {
  std::string code;
  std::string message;
  int status = 400;
  std::string query_code = {};  // how Query calls it, when Json and Cbor call it otherwise
};

// `service` is null when the request did not get as far as naming one.
WireError to_wire(const Error& error, const Service* service, Protocol protocol);

}  // namespace watari::aws
