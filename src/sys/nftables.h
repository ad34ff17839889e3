#pragma once
// The kernel's packet filter, in the language of nft(8).
#include <string>

#include "base/result.h"

namespace watari::sys {

// Carries out a script in the namespace that the calling thread is in, as one transaction: all of it or nothing.
// Internal with nft's message and the offending lines; PermissionDenied without CAP_NET_ADMIN. Any thread.
Result<void> run_nft(const std::string& script);

// What `nft list …` prints: for tests and for people. ("ruleset", "table inet watari")
Result<std::string> list_nft(const std::string& what);

}  // namespace watari::sys
