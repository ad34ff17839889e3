#include "cli/up/context.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/digest.h"
#include "codec/ignore.h"
#include "codec/tar.h"

namespace watari::cli::up {

// What goes into the archive, in its order.
struct ContextItem {
  codec::TarEntry entry;
  bool file = false;  // a regular one: what else is to be known of it is read later
  std::int64_t size = 0;
  std::string digest;
  nlink_t names = 1;
  std::pair<dev_t, ino_t> inode{};
};

namespace {

using Item = ContextItem;
namespace fs = std::filesystem;

auto failed(const std::string& what) { return fail(Code::Unavailable, "{}: {}", what, std::strerror(errno)); }

// What people set on files; the system's own attributes stay at home, but for capabilities.
std::map<std::string, std::string> attributes_of(int file) {
  std::map<std::string, std::string> found;
  std::array<char, 4096> names;
  auto size = ::flistxattr(file, names.data(), names.size());
  for (ssize_t at = 0; at < size;) {
    std::string name(names.data() + at);
    at += static_cast<ssize_t>(name.size()) + 1;
    if (!name.starts_with("user.") && name != "security.capability") continue;
    std::string value(65536, '\0');
    auto length = ::fgetxattr(file, name.c_str(), value.data(), value.size());
    if (length < 0) continue;
    value.resize(static_cast<std::size_t>(length));
    found[name] = std::move(value);
  }
  return found;
}

void take_status(Item& item, const struct stat& info) {
  item.entry.mode = static_cast<std::uint32_t>(info.st_mode & 07777);
  item.entry.mtime = info.st_mtime;
  item.names = info.st_nlink;
  item.inode = {info.st_dev, info.st_ino};
}

// Which files of a directory belong to the context.
class Lister {
 public:
  Lister(const fs::path& root, const std::vector<std::string>& always, codec::IgnoreRules rules) : root_(root), always_(always), rules_(std::move(rules)) {}

  Result<std::deque<Item>> list() {
    TRY_VOID(directory(""));
    return std::move(items_);
  }

 private:
  bool wanted(const std::string& path) const { return std::ranges::find(always_, path) != always_.end(); }
  bool leads_to_wanted(const std::string& path) const {
    return std::ranges::any_of(always_, [&](const auto& file) { return file.starts_with(path + "/"); });
  }

  // As the directory tells it, without another look at the file.
  static fs::file_type type_of(const fs::directory_entry& entry) {
    std::error_code none;
    return entry.is_symlink(none)        ? fs::file_type::symlink
           : entry.is_directory(none)    ? fs::file_type::directory
           : entry.is_regular_file(none) ? fs::file_type::regular
                                         : fs::file_type::unknown;
  }

  // In the order of names, so that the same files make the same archive.
  Result<void> directory(const std::string& path) {
    std::vector<std::pair<std::string, fs::file_type>> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(root_ / path, error)) names.emplace_back(entry.path().filename().string(), type_of(entry));
    if (error) return fail(Code::Unavailable, "read {}: {}", (root_ / path).string(), error.message());
    std::ranges::sort(names);
    for (const auto& [name, type] : names) TRY_VOID(entry(path.empty() ? name : path + "/" + name, type));
    return {};
  }

  Result<void> entry(const std::string& path, fs::file_type type) {
    bool ignored = rules_.ignores(path) && !wanted(path);
    if (type == fs::file_type::directory) {
      if (ignored && rules_.skips_directory(path) && !leads_to_wanted(path)) return {};
      if (!ignored) TRY_VOID(add(path, codec::TarEntry::Kind::Directory));
      return directory(path);
    }
    if (ignored) return {};
    if (type == fs::file_type::symlink) return add(path, codec::TarEntry::Kind::Symlink);
    // Sockets and devices have no place in a context.
    if (type == fs::file_type::regular) items_.push_back({.entry = {.path = path}, .file = true});
    return {};
  }

  Result<void> add(const std::string& path, codec::TarEntry::Kind kind) {
    auto full = root_ / path;
    Item item{.entry = {.path = path, .kind = kind}};
    struct stat info{};
    if (::lstat(full.c_str(), &info) != 0) return failed("read " + full.string());
    take_status(item, info);
    std::error_code error;
    if (kind == codec::TarEntry::Kind::Symlink) item.entry.link = fs::read_symlink(full, error).string();
    if (error) return fail(Code::Unavailable, "read {}: {}", full.string(), error.message());
    items_.push_back(std::move(item));
    return {};
  }

  const fs::path& root_;
  const std::vector<std::string>& always_;
  codec::IgnoreRules rules_;
  std::deque<Item> items_;
};

struct File {
  int fd;
  ~File() {
    if (fd >= 0) ::close(fd);
  }
};

struct Piece {
  static constexpr std::size_t kSize = 128 * 1024;
  std::unique_ptr<char[]> bytes = std::make_unique_for_overwrite<char[]>(kSize);
};

Result<void> read_item(int root, Item& item, const Piece& piece) {
  File file{::openat(root, item.entry.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  struct stat info{};
  if (file.fd < 0 || ::fstat(file.fd, &info) != 0) return failed("read " + item.entry.path);
  if (!S_ISREG(info.st_mode)) return fail(Code::Unavailable, "{} changed while it was read; build again", item.entry.path);
  take_status(item, info);
  Sha256Stream hash;
  ssize_t count = 0;
  while ((count = ::read(file.fd, piece.bytes.get(), Piece::kSize)) > 0) {
    hash.update({piece.bytes.get(), static_cast<std::size_t>(count)});
    item.size += count;
    // Less than asked for, and all that was expected: that was the end, no need to ask again.
    if (count < static_cast<ssize_t>(Piece::kSize) && item.size >= info.st_size) break;
  }
  if (count < 0) return failed("read " + item.entry.path);
  item.entry.xattrs = attributes_of(file.fd);
  item.digest = hex(hash.finish());
  return {};
}

// Writes the archive's entries one by one, in their order.
class IndexWriter {
 public:
  explicit IndexWriter(codec::Sink sink) : sink_(std::move(sink)), tar_([this](std::string_view bytes) { return gather(bytes); }) { gathered_.reserve(kGathered); }

  Result<void> add(Item& item) {
    find_links(item);
    item.entry.size = static_cast<std::int64_t>(item.digest.size());
    return add_as_it_is(item);
  }
  Result<void> add_as_it_is(const Item& item) {
    TRY_VOID(tar_.entry(item.entry));
    return item.digest.empty() ? Result<void>() : tar_.data(item.digest);
  }
  Result<void> finish() {
    TRY_VOID(tar_.finish());
    return sink_(gathered_);
  }

 private:
  static constexpr std::size_t kGathered = 32 * 1024;  // stays in the processor's cache

  // A further name of a file that is there already.
  void find_links(Item& item) {
    if (!item.file || item.names < 2) return;
    auto [found, fresh] = first_.try_emplace(item.inode, &item.entry.path);
    if (fresh) return;
    item.entry.kind = codec::TarEntry::Kind::HardLink;
    item.entry.link = *found->second;
    item.entry.xattrs.clear();
    item.digest.clear();
  }

  Result<void> gather(std::string_view bytes) {
    if (gathered_.size() + bytes.size() > kGathered) {
      TRY_VOID(sink_(gathered_));
      gathered_.clear();
    }
    gathered_ += bytes;
    return {};
  }

  codec::Sink sink_;
  std::string gathered_;
  codec::TarWriter tar_;
  std::map<std::pair<dev_t, ino_t>, const std::string*> first_;
};

// Reads the files and gives every item to `take` in its order. Many small files: opening them takes longer than hashing, and an idle disk
// likes to be asked for several at once.
class Reader {
 public:
  Reader(int root, std::deque<Item>& items) : root_(root), items_(items), ready_(items.size()) {}

  Result<void> run(const std::function<Result<void>(Item&)>& take) {
    std::vector<std::jthread> threads;
    const auto count = std::min<std::size_t>({items_.size() / 64, std::max(1u, std::thread::hardware_concurrency()), 8});
    for (std::size_t i = 1; i < count; ++i)
      threads.emplace_back([this] {
        Piece piece;
        while (read_next(piece)) {
        }
      });
    auto taken = take_all(take);
    if (!taken) next_ = items_.size();
    threads.clear();
    return problem_ ? problem_ : taken;
  }

 private:
  // Takes what is ready and reads along while nothing is.
  Result<void> take_all(const std::function<Result<void>(Item&)>& take) {
    Piece piece;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      while (!ready_[i]) {
        if (!read_next(piece)) ready_[i].wait(false);
      }
      if (failed_) return {};
      TRY_VOID(take(items_[i]));
    }
    return {};
  }

  // False when there is nothing left to begin with.
  bool read_next(Piece& piece) {
    const auto i = next_++;
    if (i >= items_.size()) return false;
    auto read = items_[i].file && !failed_ ? read_item(root_, items_[i], piece) : Result<void>();
    if (!read) {
      std::lock_guard lock(mutex_);
      problem_ = std::move(read);
      failed_ = true;
    }
    ready_[i] = true;
    ready_[i].notify_all();
    return true;
  }

  const int root_;
  std::deque<Item>& items_;
  std::vector<std::atomic<bool>> ready_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  Result<void> problem_;
};

}  // namespace

Result<Context> Context::pack(const fs::path& directory, const std::vector<std::string>& always, const fs::path& own_rules) {
  // A single Dockerfile may have rules of its own, which go before the common ones.
  auto ignore_file = directory / ".dockerignore";
  if (always.size() == 1 && fs::exists(directory / (always[0] + ".dockerignore"))) ignore_file = directory / (always[0] + ".dockerignore");
  std::error_code none;
  if (!own_rules.empty() && fs::is_regular_file(own_rules, none)) ignore_file = own_rules;
  std::ifstream in(ignore_file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  TRY(auto rules, codec::IgnoreRules::parse(text, ignore_file.string()));
  File root{::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  if (root.fd < 0) return failed("read " + directory.string());
  TRY(auto listed, Lister(directory, always, std::move(rules)).list());
  auto items = std::make_shared<Items>(std::move(listed));
  Sha256Stream hash;
  IndexWriter index([&](std::string_view bytes) -> Result<void> {
    hash.update(bytes);
    return {};
  });
  TRY_VOID(Reader(root.fd, *items).run([&](Item& item) { return index.add(item); }));
  TRY_VOID(index.finish());
  return Context(directory, std::move(items), hex(hash.finish()));
}

Result<std::string> Context::index() const {
  std::string text;
  text.reserve(items_->size() * 1200);
  IndexWriter index([&](std::string_view bytes) -> Result<void> {
    text += bytes;
    return {};
  });
  for (const auto& item : *items_) TRY_VOID(index.add_as_it_is(item));
  TRY_VOID(index.finish());
  return text;
}

Result<ContextContent> Context::content(const std::vector<std::string>& digests) const {
  std::unordered_map<std::string_view, const Item*> by_digest;
  for (const auto& item : *items_)
    if (!item.digest.empty()) by_digest.try_emplace(item.digest, &item);
  std::vector<ContextContent::File> files;
  for (const auto& digest : digests) {
    auto found = by_digest.find(digest);
    if (found == by_digest.end()) return fail(Code::Internal, "the server asks for {}, which is no content of this build context", digest);
    files.push_back({root_ / found->second->entry.path, digest, found->second->size});
  }
  return ContextContent(std::move(files));
}

ContextContent::ContextContent(ContextContent&& other) noexcept
    : files_(std::move(other.files_)), at_(other.at_), fd_(std::exchange(other.fd_, -1)), left_(other.left_), ended_(other.ended_) {}

ContextContent::~ContextContent() {
  if (fd_ >= 0) ::close(fd_);
}

namespace {
constexpr std::int64_t kBlock = 512;
std::int64_t padding_of(std::int64_t size) { return (kBlock - size % kBlock) % kBlock; }
}  // namespace

// A header and the padded bytes of each, and two blocks at the end: names are short and no size needs more than the header has room for.
std::int64_t ContextContent::size() const {
  std::int64_t total = 2 * kBlock;
  for (const auto& file : files_) total += kBlock + file.size + padding_of(file.size);
  return total;
}

std::string ContextContent::next() {
  constexpr std::size_t kPiece = 256 * 1024;
  std::string out;
  codec::TarWriter tar([&](std::string_view bytes) -> Result<void> {
    out += bytes;
    return {};
  });
  while (out.size() < kPiece && !ended_) {
    if (left_ > 0) {
      auto before = out.size();
      auto wanted = static_cast<std::size_t>(std::min<std::int64_t>(left_, kPiece));
      out.resize(before + wanted);
      auto count = fd_ < 0 ? 0 : ::read(fd_, out.data() + before, wanted);
      if (count <= 0) std::fill(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(), '\0');
      else out.resize(before + static_cast<std::size_t>(count));
      left_ -= static_cast<std::int64_t>(out.size() - before);
      if (left_ == 0) out.append(static_cast<std::size_t>(padding_of(files_[at_ - 1].size)), '\0');
    } else if (at_ < files_.size()) {
      const auto& file = files_[at_++];
      if (fd_ >= 0) ::close(fd_);
      fd_ = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
      (void)tar.entry({.path = file.digest, .size = file.size});
      left_ = file.size;
    } else {
      out.append(2 * kBlock, '\0');
      ended_ = true;
    }
  }
  return out;
}

}  // namespace watari::cli::up
