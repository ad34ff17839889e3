#include "builder/image_packages.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/log.h"
#include "builder/layer_view.h"
#include "store/foreign.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace watari::builder {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMaxKnown = 1024;              // layers
constexpr std::uintmax_t kMaxList = 16 << 20;        // bytes
constexpr std::size_t kMaxEntries = 500'000;         // of a layer

std::string read_at(int fd, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  const auto count = ::pread(fd, bytes.data(), size, static_cast<off_t>(offset));
  bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return bytes;
}

template <class T>
bool read_struct(int fd, std::uint64_t offset, T& into) {
  return ::pread(fd, &into, sizeof into, static_cast<off_t>(offset)) == static_cast<ssize_t>(sizeof into);
}

// The section .go.buildinfo, or nothing.
std::string go_section(int fd) {
  Elf64_Ehdr header{};
  if (!read_struct(fd, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum > 1000 || header.e_shstrndx >= header.e_shnum)
    return "";
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  for (std::size_t i = 0; i < sections.size(); ++i)
    if (!read_struct(fd, header.e_shoff + i * sizeof(Elf64_Shdr), sections[i])) return "";
  const auto& strings = sections[header.e_shstrndx];
  const auto names = read_at(fd, strings.sh_offset, std::min<std::size_t>(strings.sh_size, 65536));
  for (const auto& section : sections)
    if (section.sh_name < names.size() && std::string_view(names.c_str() + section.sh_name) == ".go.buildinfo")
      return read_at(fd, section.sh_offset, std::min<std::size_t>(section.sh_size, 1 << 20));
  return "";
}

// A length in 7-bit groups, and so many bytes; taken off the front.
std::string_view take_string(std::string_view& from) {
  std::uint64_t length = 0;
  for (int shift = 0; shift < 35 && !from.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(from.front());
    from.remove_prefix(1);
    length |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  const auto text = from.substr(0, std::min<std::uint64_t>(length, from.size()));
  from.remove_prefix(text.size());
  return text;
}

std::vector<Package> go_packages(const fs::path& path) {
  constexpr std::string_view kMagic = "\xff Go buildinf:";
  constexpr std::size_t kMark = 16;  // of random bytes before and behind the text
  sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return {};
  const auto section = go_section(fd.get());
  // Bit 1 of the flags: the strings follow, instead of pointers to them.
  if (section.size() < 32 || !section.starts_with(kMagic) || (section[15] & 2) == 0) return {};
  std::string_view rest = std::string_view(section).substr(32);
  take_string(rest);  // the version of Go
  const auto text = take_string(rest);
  return text.size() < 2 * kMark ? std::vector<Package>() : packages_of_go_program(text.substr(kMark, text.size() - 2 * kMark));
}

bool skipped(const fs::path& name) { return name == "node_modules" || name == ".git" || name == "proc" || name == "sys"; }

}  // namespace

// The newer form of rpm's database: a table of headers.
ImagePackages::List ImagePackages::rpm_packages(const fs::path& path) {
  List list;
  auto read = store::read_column(path, "Packages", "blob", [&](std::string_view header) {
    if (auto package = package_of_rpm_header(header)) list.packages.push_back(std::move(*package));
  });
  if (!read) log::info("{}", read.error().message);
  return read ? list : List{.unread = true};
}

std::shared_ptr<const ImagePackages::Lists> ImagePackages::lists_of(const std::string& diff_id, const fs::path& layer) {
  {
    std::lock_guard lock(mutex_);
    if (auto found = known_.find(diff_id); found != known_.end()) return found->second;
  }
  auto lists = std::make_shared<Lists>();
  std::error_code problem;
  std::size_t entries = 0;
  const auto prefix = layer.native().size() + 1;
  for (fs::recursive_directory_iterator it(layer, problem), end; !problem && it != end && ++entries < kMaxEntries; it.increment(problem)) {
    std::error_code none;
    if (it->is_symlink(none)) continue;
    if (it->is_directory(none)) {
      if (skipped(it->path().filename())) it.disable_recursion_pending();
      continue;
    }
    const auto path = it->path().native().substr(prefix);
    const auto kind = it->is_regular_file(none) ? list_kind(path) : ListKind::None;
    if (kind == ListKind::None) continue;
    List list;
    auto& packages = list.packages;
    if (kind == ListKind::GoProgram) {
      packages = go_packages(it->path());
    } else if (kind == ListKind::Rpm) {
      list = rpm_packages(it->path());
    } else if (kind == ListKind::Gemspec) {
      packages = packages_in(kind, path, "");
    } else if (it->file_size(none) <= kMaxList) {
      packages = packages_in(kind, path, sys::read_file(it->path()).value_or(""));
    }
    // An empty list still hides one below it; a program that is none of Go's does as well, but nobody looks for that by its path.
    if (!packages.empty() || kind != ListKind::GoProgram) lists->emplace(path, std::move(list));
  }
  std::lock_guard lock(mutex_);
  if (known_.size() >= kMaxKnown) known_.clear();
  return known_.emplace(diff_id, std::move(lists)).first->second;
}

Result<ImagePackages::Found> ImagePackages::of(const oci::Image& image) {
  std::vector<LayerView> views;
  std::vector<std::shared_ptr<const Lists>> lists;
  for (const auto& layer : image.layers) {
    oci::Image one;
    one.layers = {layer};
    TRY(auto directory, images_.layer_directories(one));
    lists.push_back(lists_of(layer.diff_id, directory.front()));
    views.emplace_back(directory.front());
  }
  std::set<Package> found;
  Found out;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    for (const auto& [path, list] : *lists[i]) {
      bool hidden = list.packages.empty() && !list.unread;
      for (std::size_t above = i + 1; above < views.size() && !hidden; ++above) hidden = views[above].look_up(path) != LayerView::Seen::Below;
      if (!hidden) found.insert(list.packages.begin(), list.packages.end());
      if (!hidden && list.unread) out.unread.push_back(path);
    }
  }
  out.packages.assign(found.begin(), found.end());
  return out;
}

}  // namespace watari::builder
