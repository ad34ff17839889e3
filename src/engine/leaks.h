#pragma once
// What a server has left on the host: for `watari doctor --leaks` and the tests, which must find nothing after --stop-all.
#include <string>
#include <vector>

namespace watari::engine {

// One sentence each: network namespaces, mounts, control groups, shims, firewall tables and links that carry this root id. Reads the host only,
// works without a server. Must run as root, in the host's network namespace.
std::vector<std::string> find_leaks(const std::string& root_id);

}  // namespace watari::engine
