#include "builder/cache_mounts.h"

#include <fcntl.h>

#include "base/id.h"
#include "codec/compress.h"
#include "oci/layer_tar.h"
#include "sys/fd.h"
#include "sys/files.h"

namespace watari::builder {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kHalfMade = ".import-";

// 32 hexadecimal digits, and "-2" where private caches needed another.
bool is_name(const std::string& text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  auto name = text.substr(0, 32);
  bool number = text.size() == 32 || (text.size() > 33 && text.size() < 40 && text[32] == '-' && text.find_first_not_of("0123456789", 33) == text.npos);
  return name.size() == 32 && name.find_first_not_of(kHex) == name.npos && number;
}

// The caches of an unpacked archive, all or none.
Result<std::vector<std::string>> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    auto name = entry.path().filename().string();
    bool id = entry.path().extension() == ".id" && entry.is_regular_file() && !entry.is_symlink();
    bool cache = fs::symlink_status(entry.path()).type() == fs::file_type::directory && fs::is_regular_file(fs::symlink_status(fs::path(entry.path()) += ".id"));
    if (!is_name(id ? entry.path().stem().string() : name) || (!id && !cache))
      return fail(Code::InvalidArgument, "{} is no cache of builds; expected a file that `watari images cache export` wrote", name);
    if (cache) names.push_back(name);
  }
  return names;
}

}  // namespace

Result<void> export_cache_mounts(const fs::path& directory, const codec::Sink& sink) {
  TRY_VOID(sys::make_directories(directory));
  return oci::write_layer_tar(directory, sink);
}

Result<std::vector<std::string>> import_cache_mounts(const fs::path& directory, const codec::Source& archive) try {
  TRY_VOID(sys::make_directories(directory));
  auto temporary = directory / (std::string(kHalfMade) + random_hex(12));
  TRY_VOID(sys::make_directories(temporary, 0700));
  struct Remove {
    fs::path path;
    ~Remove() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } remove{temporary};
  TRY_VOID(oci::unpack_layer_tar(codec::decompress(archive), temporary));
  TRY(auto names, names_in(temporary));
  std::vector<std::string> ids;
  for (const auto& name : names) {
    TRY(auto id, sys::read_file(temporary / (name + ".id")));
    ids.push_back(id);
    TRY_VOID(sys::replace_file(directory / (name + ".id"), id));
    // The other way round when it is there: builds find one or the other at any time.
    auto from = temporary / name, to = directory / name;
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0 && (errno != ENOENT || ::rename(from.c_str(), to.c_str()) != 0))
      return sys::fail_errno("place the cache " + id);
  }
  return ids;
} catch (const fs::filesystem_error& e) {
  return fail(Code::Internal, "import caches: {}", e.what());
}

void sweep_cache_mounts(const fs::path& directory) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    auto name = entry.path().filename().string();
    if (name.starts_with(kHalfMade) || name.ends_with(".new")) fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace watari::builder
