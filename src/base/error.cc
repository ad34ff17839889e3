#include "base/error.h"

namespace watari {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::InvalidArgument: return "InvalidArgument";
    case Code::NotFound: return "NotFound";
    case Code::AlreadyExists: return "AlreadyExists";
    case Code::Conflict: return "Conflict";
    case Code::FailedPrecondition: return "FailedPrecondition";
    case Code::PermissionDenied: return "PermissionDenied";
    case Code::Unauthenticated: return "Unauthenticated";
    case Code::ResourceExhausted: return "ResourceExhausted";
    case Code::Unavailable: return "Unavailable";
    case Code::DeadlineExceeded: return "DeadlineExceeded";
    case Code::Cancelled: return "Cancelled";
    case Code::Corrupt: return "Corrupt";
    case Code::Internal: return "Internal";
  }
  return "Internal";
}

Error Error::within(std::string_view context) const {
  return Error{code, std::string(context) + ": " + message, reason};
}

}  // namespace watari
