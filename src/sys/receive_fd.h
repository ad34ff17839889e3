#pragma once
// Descriptors that come over unix sockets.
#include "sys/fd.h"

namespace watari::sys {

// The descriptor that the peer sends with its next message (SCM_RIGHTS); empty when it sends none.
Fd receive_fd(int socket);

}  // namespace watari::sys
