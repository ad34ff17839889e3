#pragma once
// watari-shim keep DIRECTORY NUMBER HAPROXY: stands by a HAProxy process for the time without a daemon (src/balancer/keeper.h). It has the
// sockets that HAProxy listens on, so that what connects meanwhile waits in the kernel.

namespace watari::shim {

// `arguments`: DIRECTORY NUMBER HAPROXY. Ends at SIGTERM, never in the middle of a start. Returns the exit code.
int keep(char** arguments);

}  // namespace watari::shim
