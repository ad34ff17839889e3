#include "builder/contexts.h"

#include "base/digest.h"
#include "base/id.h"
#include "codec/compress.h"
#include "oci/layer_tar.h"

namespace watari::builder {

namespace fs = std::filesystem;

Result<Contexts> Contexts::open(fs::path directory) {
  std::error_code problem;
  fs::create_directories(directory, problem);
  if (problem) return fail(Code::Internal, "create {}: {}", directory.string(), problem.message());
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().filename().string().starts_with(".tmp-")) fs::remove_all(entry.path(), problem);
  return Contexts(std::move(directory));
}

Result<std::string> Contexts::add(const codec::Source& archive) try {
  sweep();
  auto temporary = directory_ / (".tmp-" + random_hex(12));
  fs::create_directory(temporary);
  Sha256Stream hash;
  auto plain = codec::decompress(archive);
  auto hashed = [&](std::span<char> into) -> Result<std::size_t> {
    TRY(auto count, plain(into));
    hash.update({into.data(), count});
    return count;
  };
  auto unpacked = oci::unpack_layer_tar(hashed, temporary, {.max_bytes = std::int64_t{8} << 30});
  // Padding behind the end of the archive counts too: the client knows the digest of the whole.
  std::vector<char> rest(65536);
  for (bool more = unpacked.has_value(); more;) {
    auto count = hashed(rest);
    if (!count) unpacked = fail(count.error());
    more = count && *count > 0;
  }
  if (!unpacked) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    return fail(unpacked.error().within("unpack the build context"));
  }
  auto id = id_of(hex(hash.finish()));
  std::error_code there;
  fs::rename(temporary, directory_ / id, there);
  if (there) {  // the same context again
    fs::remove_all(temporary);
    fs::last_write_time(directory_ / id, fs::file_time_type::clock::now());
  }
  return id;
} catch (const fs::filesystem_error& e) {
  return fail(Code::Internal, "store the build context: {}", e.what());
}

Result<fs::path> Contexts::find(const std::string& id) const {
  bool well_formed = id.size() == 32 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
  std::error_code problem;
  auto path = directory_ / id;
  if (!well_formed || !fs::is_directory(path, problem)) return fail(Code::NotFound, "no build context {}; upload it (again)", id);
  fs::last_write_time(path, fs::file_time_type::clock::now(), problem);
  return path;
}

void Contexts::sweep() const {
  std::error_code ignored;
  auto limit = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const auto& entry : fs::directory_iterator(directory_, ignored)) {
    bool temporary = entry.path().filename().string().starts_with(".tmp-");
    if (!temporary && entry.last_write_time(ignored) < limit) fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace watari::builder
