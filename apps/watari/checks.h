#pragma once
// What a host must have, found out by trying. Every check cleans up after itself: it works in namespaces of a thread or
// process that ends with it.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace watari {

struct Finding {
  bool ok = false;
  std::string detail;  // what was found
  std::string advice;  // what to do when it is not ok
};

struct Check {
  std::string name;
  bool essential;  // `watari serve` does not start without it
  std::function<Finding()> run;
};

// In the order in which one should look at them. `root` need not exist yet.
std::vector<Check> host_checks(const std::filesystem::path& root);

// The first essential check that fails, as one line.
Result<void> check_host(const std::filesystem::path& root);

}  // namespace watari
