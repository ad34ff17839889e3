// What the sources of a COPY hold, for the cache's key.
#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>

#include "base/digest.h"
#include "builder/copy_walk.h"
#include "sys/fd.h"

namespace watari::builder {

namespace fs = std::filesystem;

namespace {

Result<std::string> digest_of_file(const fs::path& path, const StopSignal& stop) {
  sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return sys::fail_errno("open " + path.string());
  Sha256Stream hash;
  std::array<char, 65536> buffer{};
  for (ssize_t count; (count = ::read(fd.get(), buffer.data(), buffer.size())) != 0;) {
    if (count < 0) return sys::fail_errno("read " + path.string());
    TRY_VOID(stop.check());
    hash.update({buffer.data(), static_cast<std::size_t>(count)});
  }
  return hex(hash.finish());
}

Result<std::string> description(const Item& item, bool owners, const StopSignal& stop) {
  const auto& info = item.info;
  auto text = fmt::format("{:06o}", info.st_mode);
  if (owners) text += fmt::format(" {}:{}", info.st_uid, info.st_gid);
  if (S_ISREG(info.st_mode)) {
    TRY(auto digest, digest_of_file(item.from, stop));
    text += " " + digest;
  } else if (S_ISLNK(info.st_mode)) {
    text += " -> " + fs::read_symlink(item.from).string();
  } else if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
    text += fmt::format(" {}:{}", major(info.st_rdev), minor(info.st_rdev));
  }
  for (const auto& name : attribute_names(item.from)) text += " " + name + "=" + sha256_hex(attribute(item.from, name));
  return text;
}

}  // namespace

namespace {

using Described = std::vector<std::pair<std::string, std::string>>;

// As Lister and description() together, from an index.
void describe_from(const ContextIndex& index, const std::string& place, const Source& source, bool owners, Described& out) {
  auto text = [&](const ContextIndex::Entry& entry) { return entry.mode + (owners ? " " + entry.owner : "") + entry.content; };
  if (!source.directory) {
    if (const auto* entry = index.find(place)) out.emplace_back(source.name, text(*entry));
    return;
  }
  Described waiting;  // directories that are not wanted themselves
  auto prefix = place.empty() ? 0 : place.size() + 1;
  index.below(place, [&](const std::string& full, const ContextIndex::Entry& entry) {
    auto path = full.substr(prefix);
    std::erase_if(waiting, [&](const auto& each) { return !path.starts_with(each.first + "/"); });
    bool wanted = source.selection.wants(path);
    if (!wanted && entry.directory) waiting.emplace_back(path, text(entry));
    if (!wanted) return;
    std::ranges::move(waiting, std::back_inserter(out));
    waiting.clear();
    out.emplace_back(std::move(path), text(entry));
  });
}

}  // namespace

Result<codec::Json> describe_sources(const std::vector<Source>& sources, bool owners, const StopSignal& stop, const std::vector<Context>& contexts) {
  codec::Json::Object files;
  for (const auto& source : sources) {
    if (source.directory) files.emplace_back(".", codec::Json("directory"));
    if (auto place = place_in(contexts, source.path)) {
      Described described;
      describe_from(*place->first, place->second, source, owners, described);
      for (auto& [path, text] : described) files.emplace_back(std::move(path), codec::Json(std::move(text)));
      continue;
    }
    TRY(auto items, list_source(source, stop));
    for (const auto& item : items) {
      TRY(auto text, description(item, owners, stop));
      files.emplace_back(item.path.empty() ? source.name : item.path, codec::Json(std::move(text)));
    }
  }
  return codec::Json(std::move(files));
}

}  // namespace watari::builder
