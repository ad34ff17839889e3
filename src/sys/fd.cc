#include "sys/fd.h"

#include <system_error>

namespace watari::sys {

Error system_error(int error_number, const std::string& what) {
  auto code = [&] {
    switch (error_number) {
      case ENOENT: case ESRCH: case ENODEV: return Code::NotFound;
      case EEXIST: return Code::AlreadyExists;
      case EACCES: case EPERM: return Code::PermissionDenied;
      case ENOSPC: case ENOMEM: case EMFILE: case ENFILE: case EDQUOT: return Code::ResourceExhausted;
      case EAGAIN: case EBUSY: case ECONNREFUSED: return Code::Unavailable;
      case ETIMEDOUT: return Code::DeadlineExceeded;
      default: return Code::Internal;
    }
  }();
  return Error{code, what + ": " + std::generic_category().message(error_number)};
}

}  // namespace watari::sys
