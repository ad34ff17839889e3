#include "builder/contexts.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/digest.h"
#include "base/id.h"
#include "base/log.h"
#include "codec/compress.h"
#include "codec/tar.h"
#include "oci/files.h"
#include "oci/layer_tar.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace watari::builder {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kMaxBytes = std::int64_t{8} << 30;
constexpr std::size_t kMaxIndex = 512 << 20;  // about half a million files
constexpr std::size_t kRecent = 8, kOffered = 16, kKept = 16;

// A directory for what is half-made.
struct Temporary {
  fs::path path;
  explicit Temporary(const fs::path& directory) : path(directory / (".tmp-" + random_hex(12))) {}
  Result<void> make() const { return sys::make_directories(path, 0700); }
  ~Temporary() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
};

void touch(const fs::path& path) { ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0); }

codec::Source text_source(std::string_view text) {
  return [text](std::span<char> into) mutable -> Result<std::size_t> {
    auto count = std::min(into.size(), text.size());
    std::copy_n(text.data(), count, into.data());
    text.remove_prefix(count);
    return count;
  };
}

}  // namespace

Result<std::unique_ptr<Contexts>> Contexts::open(fs::path directory) {
  TRY_VOID(sys::make_directories(directory));
  std::error_code problem;
  const auto boot = directory / "boot";
  const bool same_start = sys::read_file(boot).value_or("") == oci::boot_id();
  for (const auto& entry : fs::directory_iterator(directory)) {
    auto kind = entry.path().extension();
    bool whole = same_start && (entry.path() == boot || kind == ".files" || (kind == ".index" && fs::exists(fs::path(entry.path()).replace_extension(".files"))));
    if (!whole) fs::remove_all(entry.path(), problem);
  }
  if (!same_start) TRY_VOID(sys::replace_file(boot, oci::boot_id()));
  return std::unique_ptr<Contexts>(new Contexts(std::move(directory)));
}

Result<std::string> Contexts::add(const codec::Source& archive) {
  Temporary temporary(directory_);
  TRY_VOID(temporary.make());
  auto tree = temporary.path / "files";
  TRY_VOID(sys::make_directories(tree));
  Sha256Stream hash;
  auto plain = codec::decompress(archive);
  auto hashed = [&](std::span<char> into) -> Result<std::size_t> {
    TRY(auto count, plain(into));
    hash.update({into.data(), count});
    return count;
  };
  // It reads to the end of the stream: padding counts too, the client knows the digest of the whole.
  auto unpacked = oci::unpack_layer_tar(hashed, tree, {.max_bytes = kMaxBytes});
  if (!unpacked) return fail(unpacked.error().within("unpack the build context"));
  auto id = id_of(hex(hash.finish()));
  std::lock_guard lock(making_);
  if (::rename(tree.c_str(), files_of(id).c_str()) != 0 && errno != ENOTEMPTY && errno != EEXIST) return sys::fail_errno("store the build context");
  touch(files_of(id));
  std::lock_guard hold(mutex_);
  ++promised_[id];
  return id;
}

void Contexts::remember(const Index& index) {
  std::lock_guard lock(mutex_);
  std::erase_if(recent_, [&](const Index& each) { return each->id() == index->id(); });
  std::erase_if(offered_, [&](const Index& each) { return each->id() == index->id(); });
  recent_.push_front(index);
  if (recent_.size() > kRecent) recent_.pop_back();
}

Contexts::Index Contexts::known(const std::string& id) {
  {
    std::lock_guard lock(mutex_);
    for (const auto& each : recent_)
      if (each->id() == id) return each;
  }
  auto archive = sys::read_file(index_of(id));
  if (!archive) return nullptr;
  auto index = ContextIndex::parse(std::move(*archive));
  return index && (*index)->id() == id ? *index : nullptr;
}

// The newest trees that are on the disk, once after a start: they are what a changed context has most in common with.
void Contexts::load_recent() {
  std::vector<std::pair<fs::file_time_type, std::string>> all;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory_, ignored))
    if (entry.path().extension() == ".files") all.emplace_back(entry.last_write_time(ignored), entry.path().stem());
  std::ranges::sort(all, std::greater{});
  all.resize(std::min(all.size(), kRecent / 2));
  for (const auto& [used, id] : all) {
    auto index = known(id);
    std::lock_guard lock(mutex_);
    if (index && std::ranges::none_of(recent_, [&](const Index& each) { return each->id() == id; })) recent_.push_back(index);
  }
}

std::vector<std::string> Contexts::missing(const ContextIndex& index) const {
  std::lock_guard lock(mutex_);
  std::set<std::string> digests;
  index.below("", [&](const std::string&, const ContextIndex::Entry& entry) {
    if (!entry.first_name || std::ranges::any_of(recent_, [&](const Index& each) { return each->path_of(entry.digest); })) return;
    digests.insert(entry.digest);
  });
  return {digests.begin(), digests.end()};
}

Result<Contexts::Offer> Contexts::offer(const codec::Source& source) {
  auto plain = codec::decompress(source);
  std::string archive;
  std::vector<char> piece(256 * 1024);
  while (true) {
    TRY(auto count, plain(piece));
    if (count == 0) break;
    archive.append(piece.data(), count);
    if (archive.size() > kMaxIndex) return fail(Code::ResourceExhausted, "the build context has too many files; leave some out with .dockerignore");
  }
  TRY(auto index, ContextIndex::parse(std::move(archive)));
  std::call_once(loaded_, [this] { load_recent(); });
  return make(index, {});
}

Result<Contexts::Offer> Contexts::supply(const std::string& id, const codec::Source& files) {
  Index index;
  {
    std::lock_guard lock(mutex_);
    auto found = std::ranges::find_if(offered_, [&](const Index& each) { return each->id() == id; });
    if (found == offered_.end()) return fail(Code::NotFound, "no index of a build context {} was offered lately; offer it again", id);
    index = *found;
  }
  Temporary temporary(directory_);
  TRY_VOID(temporary.make());
  TRY_VOID(receive(*index, codec::decompress(files), temporary.path));
  return make(index, temporary.path);
}

// Writes what arrives as files named by their digests, each checked against its name.
Result<std::set<std::string>> Contexts::receive(const ContextIndex& index, const codec::Source& files, const fs::path& into) {
  std::set<std::string> received;
  codec::TarReader tar(files);
  std::vector<char> piece(256 * 1024);
  std::int64_t total = 0;
  while (true) {
    TRY(auto entry, tar.next());
    if (!entry) return received;
    if (!index.path_of(entry->path)) return fail(Code::InvalidArgument, "{} is no content of this build context", entry->path);
    if ((total += entry->size) > kMaxBytes) return fail(Code::ResourceExhausted, "the build context is larger than {} bytes", kMaxBytes);
    sys::Fd out(::open((into / entry->path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!out) return sys::fail_errno("store a file of the build context");
    Sha256Stream hash;
    while (true) {
      TRY(auto count, tar.read(piece));
      if (count == 0) break;
      hash.update({piece.data(), count});
      for (std::size_t done = 0; done < count;) {
        auto written = ::write(out.get(), piece.data() + done, count - done);
        if (written < 0 && errno != EINTR) return sys::fail_errno("store a file of the build context");
        if (written > 0) done += static_cast<std::size_t>(written);
      }
    }
    if (hex(hash.finish()) != entry->path)
      return fail(Code::InvalidArgument, "{} changed while the build context was sent; build again", *index.path_of(entry->path));
    received.insert(entry->path);
  }
}

// The tree of an index, when all of its content is here; else what is missing.
Result<Contexts::Offer> Contexts::make(const Index& index, const fs::path& supplied) {
  std::lock_guard lock(making_);
  {
    std::lock_guard hold(mutex_);
    if (is_here(index->id())) {
      ++promised_[index->id()];
      touch(files_of(index->id()));
      return Offer{index->id(), {}};
    }
  }
  Offer offer{index->id(), missing(*index)};
  std::error_code ignored;
  if (!supplied.empty()) std::erase_if(offer.missing, [&](const auto& digest) { return fs::exists(supplied / digest, ignored); });
  if (!offer.missing.empty()) {
    std::lock_guard hold(mutex_);
    std::erase_if(offered_, [&](const Index& each) { return each->id() == index->id(); });
    offered_.push_front(index);
    if (offered_.size() > kOffered) offered_.pop_back();
    return offer;
  }
  Temporary temporary(directory_);
  TRY_VOID(temporary.make());
  auto tree = temporary.path / "files";
  TRY_VOID(build_tree(*index, supplied, tree).map_error([](const Error& error) { return error.within("make the build context"); }));
  TRY_VOID(sys::replace_file(index_of(index->id()), index->archive()));
  {
    std::lock_guard hold(mutex_);
    ++promised_[index->id()];
    if (::rename(tree.c_str(), files_of(index->id()).c_str()) != 0) return sys::fail_errno("store the build context");
  }
  remember(index);
  return offer;
}

bool Contexts::is_here(const std::string& id) const {
  std::error_code ignored;
  return fs::is_directory(files_of(id), ignored);
}

// Whether a few changes make the old tree the new one. Everything that is not in its place already must be at hand elsewhere.
bool Contexts::can_become(const ContextIndex& old, const ContextIndex& index, const fs::path& supplied) const {
  const auto stays = [&](const std::string& path) {
    const auto *before = old.find(path), *now = index.find(path);
    return before && now && before->same_inode(*now);
  };
  const auto at_hand = [&](const std::string& digest) {
    std::error_code ignored;
    if (!supplied.empty() && fs::exists(supplied / digest, ignored)) return true;
    if (const auto* path = old.path_of(digest); path && stays(*path)) return true;
    return std::ranges::any_of(recent_, [&](const Index& each) { return each.get() != &old && each->path_of(digest); });
  };
  std::size_t kept = 0, all = 0;
  bool possible = true;
  index.below("", [&](const std::string& path, const ContextIndex::Entry& entry) {
    if (!possible) return;
    const auto* before = old.find(path);
    // What no entry says of a directory is not set again. A directory's attributes are only ever added to.
    if (entry.directory) possible = entry.mtime != 0 && (!before || !before->directory || before->content == entry.content);
    else if (entry.first_name && stays(path)) ++kept;
    else if (entry.first_name) possible = at_hand(entry.digest);
  });
  old.below("", [&](const std::string&, const ContextIndex::Entry& entry) { all += entry.first_name ? 1 : 0; });
  return possible && kept * 10 > all * 9;
}

// Renames a tree that will do to `tree`, less what is not in the new one. From then on its old context is not here any more.
Contexts::Index Contexts::take_over(const ContextIndex& index, const fs::path& supplied, const fs::path& tree) {
  Index old;
  {
    std::lock_guard lock(mutex_);
    const auto nobodys = [&](const std::string& id) {
      auto used = used_.find(id);
      return !promised_.contains(id) && (used == used_.end() || used->second.expired());
    };
    auto found = std::ranges::find_if(recent_, [&](const Index& each) { return nobodys(each->id()) && can_become(*each, index, supplied); });
    if (found == recent_.end() || ::rename(files_of((*found)->id()).c_str(), tree.c_str()) != 0) return nullptr;
    old = *found;
    recent_.erase(found);
    used_.erase(old->id());
  }
  std::error_code ignored;
  fs::remove(index_of(old->id()), ignored);
  std::vector<const std::string*> gone;  // directories before what is in them
  old->below("", [&](const std::string& path, const ContextIndex::Entry&) {
    if (!index.find(path)) gone.push_back(&path);
  });
  for (std::size_t i = gone.size(); i-- > 0;) fs::remove(tree / *gone[i], ignored);
  return old;
}

Result<void> Contexts::build_tree(const ContextIndex& index, const fs::path& supplied, const fs::path& tree) {
  using How = oci::FoundFile::How;
  const auto old = take_over(index, supplied, tree);
  if (!old) TRY_VOID(sys::make_directories(tree));
  std::deque<Index> before;
  {
    std::lock_guard lock(mutex_);
    before = recent_;
  }
  std::unordered_map<std::string, fs::path> placed;  // what came and has its place already
  auto find = [&](const codec::TarEntry& wanted, const std::string& digest) -> Result<oci::FoundFile> {
    const auto& entry = *index.find(wanted.path);
    const auto* there_before = old ? old->find(wanted.path) : nullptr;
    if (there_before && there_before->same_inode(entry)) return oci::FoundFile{{}, How::Stay};
    for (const auto& each : before)
      if (const auto* same = each->find(wanted.path); same && same->same_inode(entry)) return oci::FoundFile{files_of(each->id()) / wanted.path, How::Link};
    if (auto there = placed.find(digest); there != placed.end()) return oci::FoundFile{there->second, How::Copy};
    std::error_code none;
    if (!supplied.empty() && fs::exists(supplied / digest, none)) {
      placed[digest] = tree / wanted.path;
      return oci::FoundFile{supplied / digest, How::Move};
    }
    for (const auto& each : before)
      if (const auto* path = each->path_of(digest)) return oci::FoundFile{files_of(each->id()) / *path, How::Copy};
    // It stays there: the tree would not have been taken otherwise.
    if (const auto* path = old ? old->path_of(digest) : nullptr) return oci::FoundFile{tree / *path, How::Copy};
    return fail(Code::NotFound, "the content of {} is not here", wanted.path);
  };
  return oci::unpack_index_tar(text_source(index.archive()), tree, find);
}

Result<Context> Contexts::find(const std::string& id_or_sha256) {
  const auto id = id_or_sha256.size() == 64 ? id_of(id_or_sha256) : id_or_sha256;
  bool well_formed = id.size() == 32 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
  Context context{.files = files_of(id)};
  {
    std::lock_guard lock(mutex_);
    if (!well_formed || !is_here(id)) return fail(Code::NotFound, "no build context {}; upload it (again)", id);
    context.use = used_[id].lock();
    if (!context.use) used_[id] = context.use = std::make_shared<int>();
    if (auto promised = promised_.find(id); promised != promised_.end() && id == id_or_sha256 && --promised->second == 0) promised_.erase(promised);
  }
  touch(files_of(id));
  context.index = known(id);
  if (context.index) remember(context.index);
  return context;
}

Result<std::string> Contexts::promise(const std::string& sha256) {
  const auto id = id_of(sha256);
  TRY(auto context, find(sha256.size() == 64 ? sha256 : ""));
  std::lock_guard lock(mutex_);
  ++promised_[id];
  return id;
}

void Contexts::sweep() {
  std::lock_guard lock(making_);
  std::vector<std::pair<fs::file_time_type, fs::path>> trees;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory_, ignored))
    if (entry.path().extension() == ".files") trees.emplace_back(entry.last_write_time(ignored), entry.path());
  std::ranges::sort(trees, std::greater{});
  auto now = fs::file_time_type::clock::now();
  for (std::size_t i = 0; i < trees.size(); ++i) {
    const auto& [used, path] = trees[i];
    bool keep = now - used < std::chrono::hours(1) || (i < kKept && now - used < std::chrono::hours(24 * 7));
    if (keep) continue;
    auto id = path.stem().string();
    {
      std::lock_guard hold(mutex_);
      std::erase_if(recent_, [&](const Index& each) { return each->id() == id; });
      promised_.erase(id);
      used_.erase(id);
    }
    auto away = directory_ / (".tmp-" + random_hex(12));
    fs::remove(index_of(id), ignored);
    fs::rename(path, away, ignored);
    fs::remove_all(away, ignored);
  }
}

}  // namespace watari::builder
