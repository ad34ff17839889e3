#pragma once
// Before it enters a container the OCI runtime copies itself, so that no container can overwrite the program (CVE-2019-5736); crun that is
// killed in that moment leaves the empty file that it mounted the copy on. Left to itself it does so in /tmp, where nobody knows whose it is.
#include <string>

#include "base/result.h"

namespace watari {

// Every runtime that this process and its shims start from now on makes its copies in `directory`, which is made if need be; what was left there
// by runtimes that are long dead is removed. Changes the environment: before any thread reads it.
// Source: crun, src/libcrun/cloned_binary.c (_LIBCONTAINER_STATEDIR)
Result<void> keep_runtime_copies_in(const std::string& directory);

}  // namespace watari
