#pragma once
// The configuration that the OCI runtime gets for a build step. Pure but for reading the seccomp profile.
#include "builder/sandbox.h"
#include "codec/json.h"

namespace watari::builder {

Result<codec::Json> make_bundle(const SandboxOptions& options);

}  // namespace watari::builder
