#pragma once
// The file into which a HAProxy process writes one line a request. HAProxy inherits it open, so that it is written also while the
// daemon is down; the daemon reads on from where it was and gives the space of what it has read back to the file system.
// Owner: the balancer thread.
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/fd.h"

namespace watari::balancer {

// The environment variable with the descriptor, as in `log "fd@${REQUEST_LOG}"`.
constexpr const char* kRequestLogVariable = "REQUEST_LOG";

class RequestLog {
 public:
  // Makes the file, or opens the one of a process that is taken over.
  static Result<RequestLog> open(const std::string& directory, int process);

  int fd() const { return file_.get(); }
  // Calls for each whole line that came since the last call.
  void read(const std::function<void(std::string_view line)>& line);
  // What was read has been kept elsewhere: whoever opens the file again reads on from here.
  void mark();

 private:
  RequestLog(sys::Fd file, sys::Fd marks, std::int64_t offset) : file_(std::move(file)), marks_(std::move(marks)), offset_(offset), marked_(offset) {}

  sys::Fd file_, marks_;
  std::int64_t offset_, marked_;
  std::string rest_;  // the beginning of a line whose end is still to come
};

std::string request_log_file(const std::string& directory, int process);

}  // namespace watari::balancer
