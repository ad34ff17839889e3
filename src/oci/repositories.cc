#include <algorithm>

#include "base/id.h"
#include "base/strings.h"
#include "oci/file_repositories.h"
#include "oci/files.h"
#include "oci/reference.h"

namespace watari::oci {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) out.push_back(entry.path().filename().string());
  std::ranges::sort(out);
  return out;
}

Result<std::string> read_line(const fs::path& path) {
  TRY(auto text, read_file(path, 4096));
  return std::string(trim(text));
}

std::string hex_of(const std::string& digest) { return digest.substr(digest.find(':') + 1); }

}  // namespace

fs::path FileRepositories::place(const std::string& repository) const { return root_ / "repositories" / percent_encode(repository); }

Result<void> FileRepositories::write(const fs::path& path, std::string_view line) const {
  TRY_VOID(make_directory(path.parent_path()));
  return write_durably(root_ / "tmp" / ("link-" + random_hex(16)), path, fmt::format("{}\n", line));
}

std::vector<std::string> FileRepositories::names() const {
  std::vector<std::string> out;
  for (const auto& name : names_in(root_ / "repositories"))
    if (auto decoded = percent_decode(name); decoded && exists(*decoded)) out.push_back(*decoded);
  std::ranges::sort(out);
  return out;
}

bool FileRepositories::exists(const std::string& repository) const { return valid_repository(repository) && !names_in(place(repository) / "manifests").empty(); }

Result<void> FileRepositories::link(const std::string& repository, const std::string& digest, const std::string& media_type) {
  if (!valid_repository(repository)) return fail(Code::InvalidArgument, "{} is no repository name", repository);
  if (!valid_digest(digest)) return fail(Code::InvalidArgument, "{} is no sha256 digest", digest);
  std::lock_guard lock(mutex_);
  return write(place(repository) / "manifests" / hex_of(digest), media_type);
}

Result<void> FileRepositories::unlink(const std::string& repository, const std::string& digest) {
  TRY_VOID(manifest(repository, digest));
  std::lock_guard lock(mutex_);
  for (const auto& tag : tags(repository))
    if (tag.digest == digest) ::unlink((place(repository) / "tags" / tag.tag).c_str());
  const fs::path path = place(repository) / "manifests" / hex_of(digest);
  if (::unlink(path.c_str()) != 0) return fail(os_error("unlink", path));
  return sync_directory(path.parent_path());
}

Result<ManifestLink> FileRepositories::manifest(const std::string& repository, const std::string& digest) const {
  const auto missing = [&] { return fail(Code::NotFound, "{} holds no manifest {}", repository, digest); };
  if (!valid_repository(repository) || !valid_digest(digest)) return missing();
  const fs::path path = place(repository) / "manifests" / hex_of(digest);
  auto media_type = read_line(path);
  if (!media_type) return missing();
  return ManifestLink{digest, *media_type, modified_at(path)};
}

std::vector<ManifestLink> FileRepositories::manifests(const std::string& repository) const {
  std::vector<ManifestLink> out;
  if (!valid_repository(repository)) return out;
  for (const auto& name : names_in(place(repository) / "manifests"))
    if (auto link = manifest(repository, "sha256:" + name)) out.push_back(*link);
  return out;
}

Result<std::string> FileRepositories::tagged(const std::string& repository, const std::string& tag) const {
  const auto missing = [&] { return fail(Code::NotFound, "{} has no tag {}", repository, tag); };
  if (!valid_repository(repository) || !valid_tag(tag)) return missing();
  auto digest = read_line(place(repository) / "tags" / tag);
  if (!digest) return missing();
  return digest;
}

std::vector<Tagged> FileRepositories::tags(const std::string& repository) const {
  std::vector<Tagged> out;
  if (!valid_repository(repository)) return out;
  for (const auto& tag : names_in(place(repository) / "tags"))
    if (auto digest = tagged(repository, tag)) out.push_back({repository, tag, *digest, modified_at(place(repository) / "tags" / tag)});
  return out;
}

Result<void> FileRepositories::set_tag(const std::string& repository, const std::string& tag, const std::string& digest) {
  if (!valid_tag(tag)) return fail(Code::InvalidArgument, "{} is no tag: letters, digits, _, . and -, at most 128", tag);
  std::lock_guard lock(mutex_);
  return write(place(repository) / "tags" / tag, digest);
}

Result<void> FileRepositories::remove_tag(const std::string& repository, const std::string& tag) {
  TRY_VOID(tagged(repository, tag));
  std::lock_guard lock(mutex_);
  const fs::path path = place(repository) / "tags" / tag;
  if (::unlink(path.c_str()) != 0) return fail(os_error("unlink", path));
  return sync_directory(path.parent_path());
}

}  // namespace watari::oci
