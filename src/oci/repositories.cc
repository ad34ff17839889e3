#include <algorithm>

#include "base/id.h"
#include "base/strings.h"
#include "codec/reflect.h"
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

bool is_immutable(const RepositorySettings& settings, std::string_view tag) {
  const bool excluded = std::ranges::any_of(settings.tag_exclusions, [&](const auto& pattern) { return wildcard_match(pattern, tag); });
  return settings.immutable_tags != excluded;
}

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

bool FileRepositories::exists(const std::string& repository) const {
  return valid_repository(repository) &&
         (::access((place(repository) / "repository.json").c_str(), F_OK) == 0 || !names_in(place(repository) / "manifests").empty());
}

Result<void> FileRepositories::create(const std::string& repository, const RepositorySettings& settings) {
  if (!valid_repository(repository)) return fail(Code::InvalidArgument, "{} is no repository name", repository);
  std::lock_guard lock(mutex_);
  if (exists(repository)) return fail(Code::AlreadyExists, "there is a repository {} already", repository);
  TRY_VOID(write(place(repository) / "repository.json", codec::to_json(settings).dump()));
  ++settings_version_;
  return {};
}

Result<std::optional<RepositorySettings>> FileRepositories::written_settings(const std::string& repository) const {
  auto text = read_file(place(repository) / "repository.json", 1 << 20);
  if (!text) return std::nullopt;
  TRY(auto json, codec::parse_json(*text));
  TRY(auto settings, codec::from_json<RepositorySettings>(json));
  return settings;
}

Result<RepositorySettings> FileRepositories::settings(const std::string& repository) const {
  if (!exists(repository)) return fail(Code::NotFound, "there is no repository {}", repository);
  TRY(auto given, written_settings(repository));
  if (given) return *given;
  RepositorySettings out{.created_at = Time::max()};
  for (const auto& link : manifests(repository)) out.created_at = std::min(out.created_at, link.put_at);
  return out;
}

Result<void> FileRepositories::update(const std::string& repository, const std::function<void(RepositorySettings&)>& change) {
  std::lock_guard lock(mutex_);
  TRY(auto stored, settings(repository));
  change(stored);
  TRY_VOID(write(place(repository) / "repository.json", codec::to_json(stored).dump()));
  ++settings_version_;
  return {};
}

Result<void> FileRepositories::remove(const std::string& repository) {
  std::lock_guard lock(mutex_);
  if (!exists(repository)) return fail(Code::NotFound, "there is no repository {}", repository);
  const fs::path away = root_ / "tmp" / ("repository-" + random_hex(16));
  if (::rename(place(repository).c_str(), away.c_str()) != 0) return fail(os_error("rename", place(repository)));
  ++settings_version_;
  TRY_VOID(sync_directory(root_ / "repositories"));
  remove_tree(away);
  return {};
}

Result<void> FileRepositories::link(const std::string& repository, const std::string& digest, const std::string& media_type) {
  if (!valid_repository(repository)) return fail(Code::InvalidArgument, "{} is no repository name", repository);
  if (!valid_digest(digest)) return fail(Code::InvalidArgument, "{} is no digest", digest);
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
    if (auto link = manifest(repository, digest_from_hex(name))) out.push_back(*link);
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

Result<void> FileRepositories::stage(const fs::path& to, std::string_view line, std::vector<Written>& files) const {
  TRY_VOID(make_directory(to.parent_path()));
  files.push_back({root_ / "tmp" / ("link-" + random_hex(16)), to});
  return write_plainly(files.back().from, fmt::format("{}\n", line));
}

Result<void> FileRepositories::stage_link(const std::string& repository, const std::string& digest, const std::string& media_type,
                                          std::vector<Written>& files) const {
  if (!valid_repository(repository)) return fail(Code::InvalidArgument, "{} is no repository name", repository);
  return stage(place(repository) / "manifests" / hex_of(digest), media_type, files);
}

Result<void> FileRepositories::set_tag(const std::string& repository, const std::string& tag, const std::string& digest, const std::string& media_type) {
  if (!valid_repository(repository)) return fail(Code::InvalidArgument, "{} is no repository name", repository);
  if (!valid_tag(tag)) return fail(Code::InvalidArgument, "{} is no tag: letters, digits, _, . and -, at most 128", tag);
  std::lock_guard lock(mutex_);
  const auto present = tagged(repository, tag);
  TRY(const auto rules, written_settings(repository));
  if (rules && is_immutable(*rules, tag) && present && *present != digest)
    return fail(Error{Code::FailedPrecondition,
                      fmt::format("The image tag '{}' already exists in the '{}' repository and cannot be overwritten because the repository is immutable.", tag, repository),
                      "ImageTagAlreadyExistsException"});
  const fs::path link = place(repository) / "manifests" / hex_of(digest), path = place(repository) / "tags" / tag;
  const bool linked = manifest(repository, digest).has_value();
  // The same again: only when is new.
  if (linked && present && *present == digest && ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0) == 0) return {};
  std::vector<Written> files;
  if (!linked) TRY_VOID(stage(link, media_type, files));
  TRY_VOID(stage(path, digest, files));
  return publish_durably(files);
}

Result<void> FileRepositories::remove_tag(const std::string& repository, const std::string& tag) {
  TRY_VOID(tagged(repository, tag));
  std::lock_guard lock(mutex_);
  const fs::path path = place(repository) / "tags" / tag;
  if (::unlink(path.c_str()) != 0) return fail(os_error("unlink", path));
  return sync_directory(path.parent_path());
}

}  // namespace watari::oci
