#include "registry/uploads.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "base/id.h"
#include "base/log.h"

namespace watari::registry {

namespace fs = std::filesystem;

namespace {

constexpr Seconds kBusyWait{10};

auto system_error(std::string_view call, const fs::path& path) {
  return fail(errno == ENOSPC || errno == EDQUOT ? Code::ResourceExhausted : Code::Internal, "{} {}: {}", call, path.string(), std::strerror(errno));
}

bool valid_id(const std::string& id) { return id.size() == 32 && id.find_first_not_of("0123456789abcdef") == id.npos; }

void remove_directory(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) log::warn("cannot remove {}: {}", path.string(), error.message());
}

}  // namespace

int Uploads::expire(Seconds age) {
  int removed = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root_, error)) {
    struct stat status{};
    const auto data = entry.path() / "data";
    if (::stat(data.c_str(), &status) != 0 && ::stat(entry.path().c_str(), &status) != 0) continue;
    const Time touched{Millis(std::int64_t{status.st_mtim.tv_sec} * 1000)};
    const std::string id = entry.path().filename().string();
    std::lock_guard lock(mutex_);
    if (busy_.contains(id) || clock_.now() - touched < age) continue;
    hashes_.erase(id);
    remove_directory(entry.path());
    ++removed;
  }
  return removed;
}

Result<std::unique_ptr<Uploads::Session>> Uploads::start(const std::string& repository) {
  const std::string id = random_hex(32);
  std::error_code error;
  fs::create_directories(root_ / id, error);
  if (error) return fail(Code::Internal, "mkdir {}: {}", (root_ / id).string(), error.message());
  std::ofstream(root_ / id / "data");
  std::ofstream name(root_ / id / "repository");
  name << repository << "\n";
  if (!name.flush()) return fail(Code::ResourceExhausted, "cannot write {}", (root_ / id).string());
  return resume(repository, id);
}

Result<std::unique_ptr<Uploads::Session>> Uploads::resume(const std::string& repository, const std::string& id) {
  const auto unknown = [&] { return fail(Code::NotFound, "no upload {} in {}; it may have ended or expired", id, repository); };
  if (!valid_id(id)) return unknown();
  std::string owner;
  std::ifstream in(root_ / id / "repository");
  if (!std::getline(in, owner) || owner != repository) return unknown();
  Hash hash;
  {
    std::unique_lock lock(mutex_);
    if (!released_.wait_for(lock, kBusyWait, [&] { return busy_.insert(id).second; }))
      return fail(Code::Conflict, "another request is working on the upload {}", id);
    if (auto found = hashes_.find(id); found != hashes_.end()) {
      hash = std::move(found->second);
      hashes_.erase(found);
    }
  }
  std::unique_ptr<Session> session(new Session(*this, id));
  session->hash_ = hash.stream ? std::move(hash.stream) : std::make_unique<DigestStream>();
  session->hashed_ = hash.bytes;
  TRY_VOID(session->open());
  return session;
}

Result<void> Uploads::Session::open() {
  fd_ = ::open(data().c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  struct stat status{};
  if (fd_ < 0 || ::fstat(fd_, &status) != 0) return system_error("open", data());
  offset_ = status.st_size;
  return {};
}

Uploads::Session::~Session() {
  if (fd_ >= 0) ::close(fd_);
  std::lock_guard lock(uploads_.mutex_);
  uploads_.busy_.erase(id_);
  uploads_.released_.notify_all();
  if (!ended_ && hash_) uploads_.hashes_[id_] = {std::move(hash_), hashed_};
}

Result<void> Uploads::Session::append(std::string_view bytes) {
  // The hash keeps up only when it has seen everything before; otherwise digest() reads the file.
  if (hashed_ == offset_) {
    hash_->update(bytes);
    hashed_ += static_cast<std::int64_t>(bytes.size());
  }
  while (!bytes.empty()) {
    const auto count = ::pwrite(fd_, bytes.data(), bytes.size(), offset_);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      // Half a piece may be there: the hash is ahead of the file, so it starts again.
      hash_ = std::make_unique<DigestStream>(hash_->algorithm());
      hashed_ = 0;
      return system_error("write", data());
    }
    offset_ += count;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

void Uploads::Session::expect(std::string_view like) {
  DigestStream other(like);
  if (hash_->algorithm() == other.algorithm()) return;
  hash_ = std::make_unique<DigestStream>(std::move(other));
  hashed_ = 0;
}

Result<std::string> Uploads::Session::digest(std::string_view like) {
  expect(like);
  std::vector<char> buffer(hashed_ < offset_ ? 1 << 20 : 0);
  while (hashed_ < offset_) {
    const auto count = ::pread(fd_, buffer.data(), buffer.size(), hashed_);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return system_error("read", data());
    hash_->update({buffer.data(), static_cast<std::size_t>(count)});
    hashed_ += count;
  }
  ended_ = true;
  return hash_->finish();
}

void Uploads::Session::remove() {
  ended_ = true;
  remove_directory(directory_);
}

}  // namespace watari::registry
