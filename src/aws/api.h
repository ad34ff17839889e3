#pragma once
// The entry of every AWS request: finds the service and operation, checks the signature, has the handler run on the control
// loop or the pool, and writes its answer. Stateless; the handler it makes may be called from any thread.
#include "aws/credentials.h"
#include "aws/platform.h"
#include "net/server.h"

namespace watari::aws {

// For the route "/". `platform` must outlive the server and the loops it names.
net::Handler make_api(Platform& platform, Credentials credentials);

}  // namespace watari::aws
