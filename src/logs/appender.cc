#include "logs/appender.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "logs/index.h"
#include "logs/segment.h"

namespace watari::logs {
namespace {

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    auto n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

Appender::~Appender() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> Appender::append(const std::string& records) {
  std::lock_guard lock(mutex_);
  if (fd_ < 0 || written_ >= kSegmentSize) TRY_VOID(next_segment());
  if (write_all(fd_, records)) {
    written_ += records.size();
    return {};
  }
  int reason = errno;
  // What got in is taken back; if even that fails, nothing more goes behind the cut record.
  if (::ftruncate(fd_, static_cast<off_t>(written_)) != 0) {
    ::close(fd_);
    fd_ = -1;
  }
  return fail(Code::Unavailable, "write to {}: {}", directory_, std::strerror(reason));
}

Result<void> Appender::next_segment() {
  auto present = segments_in(directory_);
  for (auto sequence = present.empty() ? 1 : present.back() + 1;; ++sequence) {
    auto path = directory_ + "/" + segment_name(sequence);
    int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0 && errno == EEXIST) continue;  // a shim was faster
    if (fd < 0) return fail(Code::Unavailable, "create log segment {}: {}", path, std::strerror(errno));
    if (!write_all(fd, kSegmentMagic)) {
      auto problem = fail(Code::Unavailable, "write log segment {}: {}", path, std::strerror(errno));
      ::close(fd);
      ::unlink(path.c_str());
      return problem;
    }
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
    written_ = kSegmentMagic.size();
    return {};
  }
}

}  // namespace watari::logs
