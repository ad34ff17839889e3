#pragma once
// What a server left on its host. Everything a server makes outside of its root carries watari-<root id> in its name.
#include <filesystem>
#include <string>
#include <vector>

namespace watari {

// One line a thing: "network namespace watari-1a2b3c4d-vpc-…". Empty after a clean `--stop-all`.
std::vector<std::string> find_leaks(const std::string& root_id);

}  // namespace watari
