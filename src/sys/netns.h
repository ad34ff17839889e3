#pragma once
// Named network namespaces, as `ip netns` knows them: an nsfs mount on a file below /run/netns.
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace watari::sys {

inline constexpr const char* kNetnsDirectory = "/run/netns";
std::string netns_path(const std::string& name);

// Makes the namespace, or leaves the existing one; heals the empty file of a creation that was cut short. Returns true when it
// is new. PermissionDenied without CAP_SYS_ADMIN.
Result<bool> create_netns(const std::string& name);
// Takes the name away; the namespace ends when its last process and descriptor do. Fine when there is none.
Result<void> remove_netns(const std::string& name);
// NotFound when there is no such namespace.
Result<Fd> open_netns(const std::string& name);
// Names that begin with `prefix`, also half-made ones.
Result<std::vector<std::string>> list_netns(const std::string& prefix);

// Runs `work` inside the namespace on a thread of its own and waits, so that no other thread ever changes its namespace.
// Sockets opened by `work` stay in the namespace wherever they are used afterwards.
Result<void> run_in_netns(const Fd& netns, const std::function<Result<void>()>& work);

// Writes below /proc/sys of the namespace that the calling thread is in: ("net/ipv4/ip_forward", "1").
Result<void> write_sysctl(const std::string& key, const std::string& value);
Result<std::string> read_sysctl(const std::string& key);

}  // namespace watari::sys
