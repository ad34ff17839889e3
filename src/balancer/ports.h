#pragma once
// Whether a port is free, and who has it.
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace watari::balancer {

// Where listeners bind: the address, and for 127.0.0.1 also ::1 (names below .localhost may resolve to it first).
std::vector<std::string> bind_addresses(const std::string& address);
// A TCP socket at the address (IPv6 in brackets), not listening yet; 0, or errno. SO_REUSEADDR ignores connections that are only
// being waited out; SO_REUSEPORT is left off, since another HAProxy (which sets it) must count as a holder.
int bind_tcp(const std::string& address, int port, sys::Fd& out);
// AlreadyExists with the holder's name and pid where it can be told; PermissionDenied for a port that we may not bind.
Result<void> port_is_free(const std::vector<std::string>& addresses, int port);

}  // namespace watari::balancer
