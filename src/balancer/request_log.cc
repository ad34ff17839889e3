#include "balancer/request_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace watari::balancer {

std::string request_log_file(const std::string& directory, int process) { return fmt::format("{}/requests-{}.log", directory, process); }

Result<RequestLog> RequestLog::open(const std::string& directory, int process) {
  auto path = request_log_file(directory, process);
  sys::Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file) return fail(Code::Internal, "open {}: {}", path, std::strerror(errno));
  sys::Fd marks(::open((path + ".read").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!marks) return fail(Code::Internal, "open {}.read: {}", path, std::strerror(errno));
  std::int64_t offset = 0;
  if (::pread(marks.get(), &offset, sizeof offset, 0) != sizeof offset) offset = 0;
  return RequestLog(std::move(file), std::move(marks), offset);
}

void RequestLog::read(const std::function<void(std::string_view line)>& line) {
  char buffer[65536];
  for (ssize_t n; (n = ::pread(file_.get(), buffer, sizeof buffer, offset_)) > 0; offset_ += n) {
    rest_.append(buffer, static_cast<std::size_t>(n));
    std::size_t from = 0;
    for (std::size_t end; (end = rest_.find('\n', from)) != std::string::npos; from = end + 1) line(std::string_view(rest_).substr(from, end - from));
    rest_.erase(0, from);
  }
}

void RequestLog::mark() {
  constexpr std::int64_t kBlock = 1 << 20;
  auto done = offset_ - static_cast<std::int64_t>(rest_.size());
  if (done == marked_) return;
  [[maybe_unused]] auto n = ::pwrite(marks_.get(), &done, sizeof done, 0);
  if (marked_ / kBlock != done / kBlock) ::fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, done / kBlock * kBlock);
  marked_ = done;
}

}  // namespace watari::balancer
