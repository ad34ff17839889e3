#pragma once
// The root directory of a server: made on the first start, held by a lock while a server runs.
#include <sys/types.h>

#include <filesystem>
#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace watari {

struct Root {
  std::filesystem::path path;  // absolute
  std::string id;              // 8 hexadecimal digits
  sys::Fd lock;                // released by the kernel when the process ends, however it ends

  // Creates what is missing (mode 0700), takes ROOT/lock and writes this process's id into it. Unavailable, naming the process,
  // when another server holds it.
  static Result<Root> open(const std::string& directory);
  // Where clients find the server; written when it is ready, removed when it stops.
  Result<void> write_endpoint(const std::string& url) const;
  void remove_endpoint() const;
  // ROOT/ca-bundle.pem: `authority` beside what this host trusts, for tools that take one file instead of the host's own.
  Result<void> write_trust(const std::string& authority) const;
};

// The id of an existing root; NotFound when no server ever used the directory.
Result<std::string> read_root_id(const std::filesystem::path& root);
// The process that serves this root now; 0 when none does.
Result<pid_t> serving_process(const std::filesystem::path& root);

}  // namespace watari
