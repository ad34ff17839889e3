#pragma once
// Appends whole batches of records to a stream, in segments of its own, beside whatever shims write there. Any thread.
#include <mutex>
#include <string>

#include "base/result.h"

namespace watari::logs {

class Appender {
 public:
  explicit Appender(std::string directory) : directory_(std::move(directory)) {}
  ~Appender();
  Appender(const Appender&) = delete;
  Appender& operator=(const Appender&) = delete;

  // Encoded records (append_record). All of them or, on an error, none. Unavailable when the disk does not take them.
  Result<void> append(const std::string& records);

 private:
  Result<void> next_segment();

  std::string directory_;
  std::mutex mutex_;
  int fd_ = -1;
  std::uint64_t written_ = 0;
};

}  // namespace watari::logs
