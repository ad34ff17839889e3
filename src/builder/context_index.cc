#include "builder/context_index.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/digest.h"
#include "builder/rooted.h"
#include "codec/tar.h"

namespace watari::builder {

using codec::TarEntry;
using Kind = TarEntry::Kind;

bool ContextIndex::Order::operator()(std::string_view left, std::string_view right) const {
  auto rank = [](char c) { return c == '/' ? -1 : static_cast<int>(static_cast<unsigned char>(c)); };
  return std::ranges::lexicographical_compare(left, right, {}, rank, rank);
}

namespace {

auto refuse(const std::string& path, std::string_view why) { return fail(Code::InvalidArgument, "context entry {}: {}", path, why); }

Result<std::string> digest_in(codec::TarReader& tar, const TarEntry& entry) {
  std::string digest(64, '\0');
  std::size_t length = 0;
  for (std::size_t count = 1; entry.size == 64 && count > 0 && length < 64; length += count) {
    TRY(count, tar.read(std::span(digest).subspan(length)));
  }
  if (length != 64 || digest.find_first_not_of("0123456789abcdef") != digest.npos) return refuse(entry.path, "the index holds no SHA-256 of its bytes");
  return digest;
}

std::string attributes_of(const TarEntry& entry) {
  std::string text;
  for (const auto& [name, value] : entry.xattrs) text += " " + name + "=" + sha256_hex(value);
  return text;
}

}  // namespace

Result<std::shared_ptr<const ContextIndex>> ContextIndex::parse(std::string archive) {
  auto index = std::make_shared<ContextIndex>();
  index->archive_ = std::move(archive);
  index->id_ = sha256_hex(index->archive_).substr(0, 32);
  TRY_VOID(index->read());
  for (const auto& [path, entry] : index->entries_)
    if (entry.first_name) index->by_digest_.try_emplace(entry.digest, &path);
  return index;
}

Result<void> ContextIndex::read() {
  codec::TarReader tar([left = std::string_view(archive_)](std::span<char> into) mutable -> Result<std::size_t> {
    auto count = std::min(into.size(), left.size());
    std::copy_n(left.data(), count, into.data());
    left.remove_prefix(count);
    return count;
  });
  while (true) {
    TRY(auto next, tar.next());
    if (!next) return {};
    const auto& path = next->path;
    if (path.empty() || path.contains('\0') || clean_path(path) != path) return refuse(path, "the name is not clean");
    if (path.substr(path.rfind('/') + 1).starts_with(".wh.")) return refuse(path, "names that begin with .wh. mark deletions in images; leave it out with .dockerignore");
    TRY_VOID(add_parents(path));
    Entry entry{.owner = fmt::format("{}:{}", next->uid, next->gid), .mtime = next->mtime};
    std::uint32_t mode = next->mode;
    switch (next->kind) {
      case Kind::File: {
        TRY(entry.digest, digest_in(tar, *next));
        mode |= S_IFREG;
        entry.content = " " + entry.digest;
        entry.first_name = true;
        break;
      }
      case Kind::HardLink: {
        const auto* first = find(clean_path(next->link));
        if (!first || first->directory || first->digest.empty()) return refuse(path, "the file that it is a further name of is not there");
        if (find(path)) return refuse(path, "the name comes twice");
        entry = *first;
        entry.first_name = false;
        entries_.emplace(path, std::move(entry));
        continue;
      }
      case Kind::Symlink:
        mode = S_IFLNK | 0777;
        entry.content = " -> " + next->link;
        break;
      case Kind::Directory:
        mode |= S_IFDIR;
        entry.directory = true;
        break;
      default: return refuse(path, "a context holds files, directories and links only");
    }
    entry.mode = fmt::format("{:06o}", mode);
    entry.content += attributes_of(*next);
    auto before = entries_.size();
    entries_.emplace_hint(entries_.end(), path, std::move(entry));
    if (entries_.size() == before) return refuse(path, "the name comes twice");
  }
}

Result<void> ContextIndex::add_parents(const std::string& path) {
  auto slash = path.rfind('/');
  if (slash == std::string::npos) return {};
  auto parent = path.substr(0, slash);
  if (const auto* there = find(parent)) return there->directory ? Result<void>() : refuse(path, "a parent is no directory");
  TRY_VOID(add_parents(parent));
  entries_.emplace(parent, Entry{.mode = "040755", .owner = "0:0", .directory = true});
  return {};
}

const ContextIndex::Entry* ContextIndex::find(const std::string& path) const {
  auto found = entries_.find(path);
  return found == entries_.end() ? nullptr : &found->second;
}

const std::string* ContextIndex::path_of(const std::string& digest) const {
  auto found = by_digest_.find(digest);
  return found == by_digest_.end() ? nullptr : found->second;
}

void ContextIndex::below(const std::string& directory, const std::function<void(const std::string&, const Entry&)>& visit) const {
  auto prefix = directory.empty() ? "" : directory + "/";
  for (auto it = prefix.empty() ? entries_.begin() : entries_.upper_bound(directory); it != entries_.end() && it->first.starts_with(prefix); ++it)
    visit(it->first, it->second);
}

}  // namespace watari::builder
