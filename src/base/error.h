#pragma once
// What can go wrong, in a dozen codes. One table in aws/ maps them to AWS errors, one in cli/ to exit codes.
#include <string>
#include <string_view>

namespace watari {

enum class Code {
  InvalidArgument,     // the request is wrong whatever the state is
  NotFound,
  AlreadyExists,
  Conflict,            // someone else changed or holds it; trying again may work
  FailedPrecondition,  // the request is fine, the present state does not allow it
  PermissionDenied,
  Unauthenticated,
  ResourceExhausted,
  Unavailable,
  DeadlineExceeded,
  Cancelled,
  Corrupt,
  Internal,
};

std::string_view to_string(Code code);

// `message` says what failed, the value, the place and what to do; it is shown to people as it is.
// `reason` is a finer machine-readable name for callers who tell more cases apart than `code` does
// (in aws/ the AWS error name, for example "ClusterNotFoundException"); usually empty.
struct Error {
  Code code = Code::Internal;
  std::string message;
  std::string reason = {};

  // Each layer adds its context once, in front: "pull image web:1: connection refused".
  Error within(std::string_view context) const;
};

}  // namespace watari
