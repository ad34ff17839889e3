#pragma once
// A seccomp profile compiled once by libseccomp, instead of by crun for every container, which takes it 12 ms of processor time.
//
// crun takes the program from an annotation of the bundle and leaves the bundle's profile alone then; other runtimes do not know the
// annotation and compile the profile, so a bundle has both.
// Source: https://github.com/containers/crun/blob/main/crun.1.md (run.oci.seccomp_bpf_data), src/libcrun/seccomp.c
#include <string>

#include "base/result.h"
#include "codec/json.h"

namespace watari::oci {

// The program that crun makes of a profile (the "seccomp" of a bundle; oci/seccomp.h): instructions of struct sock_filter. Unavailable
// without libseccomp; FailedPrecondition for a profile that says more than what crun is known to make of it.
Result<std::string> compile_seccomp(const codec::Json& profile);

// What a bundle with this profile has as its annotations; empty when the runtime is to compile it itself. Remembers what it compiled. Any thread.
codec::Json seccomp_annotations(const codec::Json& profile);

}  // namespace watari::oci
