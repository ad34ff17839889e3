#include "oci/file_content.h"

#include <algorithm>
#include <vector>

#include "base/id.h"
#include "oci/files.h"
#include "oci/layer_tar.h"
#include "oci/reference.h"

namespace watari::oci {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMaxSmallBlob = 4 * 1024 * 1024;

class FileBlobWriter final : public BlobWriter {
 public:
  FileBlobWriter(const FileContent& content, fs::path path, Fd fd, std::string_view like) : content_(content), path_(std::move(path)), fd_(std::move(fd)), hash_(like) {}
  ~FileBlobWriter() override {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  Result<void> write(std::string_view bytes) override {
    hash_.update(bytes);
    size_ += static_cast<std::int64_t>(bytes.size());
    return write_all(fd_.get(), bytes, path_);
  }
  std::int64_t size() const override { return size_; }

  Result<std::string> commit(std::string_view expected) override {
    const std::string digest = hash_.finish();
    if (!expected.empty() && digest != expected)
      return fail(Code::InvalidArgument, "the bytes have the digest {}, not {}", digest, expected);
    TRY_VOID(content_.move_in(fd_.get(), path_, digest));
    path_.clear();
    return digest;
  }

 private:
  const FileContent& content_;
  fs::path path_;
  Fd fd_;
  DigestStream hash_;
  std::int64_t size_ = 0;
};

// Ends a reading early; never leaves this file.
constexpr const char* kEnough = "enough";

}  // namespace

fs::path FileContent::place(const std::string& digest) const {
  const auto colon = digest.find(':');
  return root_ / "blobs" / digest.substr(0, colon) / digest.substr(colon + 1);
}

Result<void> FileContent::move_in(int fd, const fs::path& from, const std::string& digest) const {
  if (::fsync(fd) != 0) return fail(os_error("fsync", from));
  if (::rename(from.c_str(), place(digest).c_str()) != 0) return fail(os_error("rename", place(digest)));
  return sync_directory(place(digest).parent_path());
}

Result<std::unique_ptr<BlobWriter>> FileContent::writer(std::string_view like) {
  fs::path path = root_ / "tmp" / ("blob-" + random_hex(16));
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd) return fail(os_error("create", path));
  return std::make_unique<FileBlobWriter>(*this, std::move(path), std::move(fd), like);
}

Result<std::string> FileContent::put(std::string_view bytes, std::string_view like) {
  std::vector<Written> files;
  TRY(auto digest, stage(bytes, files, like));
  TRY_VOID(publish_durably(files));
  return digest;
}

Result<std::string> FileContent::stage(std::string_view bytes, std::vector<Written>& files, std::string_view like) {
  std::string digest = digest_of(bytes, like);
  if (file(digest) && touch(digest)) return digest;
  files.push_back({root_ / "tmp" / ("blob-" + random_hex(16)), place(digest)});
  TRY_VOID(write_plainly(files.back().from, bytes));
  return digest;
}

Result<void> FileContent::adopt(const fs::path& path, const std::string& digest) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(os_error("open", path));
  return move_in(fd.get(), path, digest);
}

std::optional<fs::path> FileContent::file(const std::string& digest) const {
  if (!valid_digest(digest)) return std::nullopt;
  fs::path path = place(digest);
  if (::access(path.c_str(), F_OK) != 0) return std::nullopt;
  return path;
}

Result<std::int64_t> FileContent::size(const std::string& digest) const {
  if (!valid_digest(digest)) return fail(Code::InvalidArgument, "{} is no digest", digest);
  struct stat status{};
  if (::stat(place(digest).c_str(), &status) == 0) return std::int64_t{status.st_size};
  if (auto layer = layers_.find(digest); layer && layer->made_here) return layer->size;
  return fail(Code::NotFound, "no blob {} here", digest);
}

Result<std::int64_t> FileContent::touch(const std::string& digest) {
  TRY(auto bytes, size(digest));
  const bool touched = ::utimensat(AT_FDCWD, place(digest).c_str(), nullptr, 0) == 0;
  if (!layers_.touch(digest) && !touched) return fail(Code::NotFound, "no blob {} here", digest);
  return bytes;
}

std::vector<std::pair<std::string, Time>> FileContent::blobs() const {
  std::vector<std::pair<std::string, Time>> out;
  std::error_code error;
  for (const std::string algorithm : {"sha256", "sha512"})
    for (const auto& entry : fs::directory_iterator(root_ / "blobs" / algorithm, error))
      if (auto digest = algorithm + ":" + entry.path().filename().string(); valid_digest(digest)) out.emplace_back(digest, modified_at(entry.path()));
  return out;
}

Result<void> FileContent::read(const std::string& digest, std::int64_t offset, std::int64_t length, const codec::Sink& sink) const {
  TRY(auto total, size(digest));
  offset = std::clamp<std::int64_t>(offset, 0, total);
  if (length < 0 || length > total - offset) length = total - offset;
  if (auto path = file(digest)) {
    // The tar of a layer that was made here goes when the layer is on the disk: then it is made again.
    auto done = read_file_part(*path, offset, length, sink);
    if (done || done.error().code != Code::NotFound) return done;
  }
  // The tar is made from its beginning each time; only the wanted part goes on.
  const codec::Sink part = [&](std::string_view bytes) -> Result<void> {
    const auto skipped = std::min<std::int64_t>(offset, static_cast<std::int64_t>(bytes.size()));
    offset -= skipped;
    bytes.remove_prefix(static_cast<std::size_t>(skipped));
    bytes = bytes.substr(0, static_cast<std::size_t>(length));
    length -= static_cast<std::int64_t>(bytes.size());
    if (!bytes.empty()) TRY_VOID(sink(bytes));
    if (length == 0) return fail(Error{Code::Cancelled, "", kEnough});
    return {};
  };
  if (length == 0) return {};
  auto done = write_layer_tar(layers_.directory(digest), part);
  if (!done && done.error().reason == kEnough) return {};
  return done;
}

Result<void> FileContent::read_file_part(const fs::path& path, std::int64_t offset, std::int64_t length, const codec::Sink& sink) const {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(os_error("open", path));
  std::vector<char> buffer(256 * 1024);
  while (length > 0) {
    const auto wanted = static_cast<std::size_t>(std::min<std::int64_t>(length, static_cast<std::int64_t>(buffer.size())));
    const auto count = ::pread(fd.get(), buffer.data(), wanted, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(os_error("read", path));
    if (count == 0) return fail(Code::Corrupt, "{} is shorter than it was", path.string());
    TRY_VOID(sink({buffer.data(), static_cast<std::size_t>(count)}));
    offset += count;
    length -= count;
  }
  return {};
}

Result<std::string> FileContent::get(const std::string& digest) const {
  if (!valid_digest(digest)) return fail(Code::InvalidArgument, "{} is no digest", digest);
  auto bytes = read_file(place(digest), kMaxSmallBlob);
  if (!bytes && bytes.error().code == Code::NotFound) return fail(Code::NotFound, "no blob {} here", digest);
  return bytes;
}

Result<void> FileContent::remove(const std::string& digest) {
  if (!valid_digest(digest)) return fail(Code::InvalidArgument, "{} is no digest", digest);
  if (::unlink(place(digest).c_str()) != 0) {
    if (errno == ENOENT) return fail(Code::NotFound, "no blob {} here", digest);
    return fail(os_error("unlink", place(digest)));
  }
  return {};
}

}  // namespace watari::oci
