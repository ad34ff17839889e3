#pragma once
// Repositories on the file system. Owned by the image store; thread-safe.
#include <atomic>
#include <filesystem>
#include <mutex>

#include "oci/files.h"
#include "oci/image_store.h"

namespace watari::oci {

class FileRepositories final : public Repositories {
 public:
  explicit FileRepositories(std::filesystem::path root) : root_(std::move(root)) {}

  std::vector<std::string> names() const override;
  bool exists(const std::string& repository) const override;
  Result<void> create(const std::string& repository, const RepositorySettings& settings) override;
  Result<RepositorySettings> settings(const std::string& repository) const override;
  std::uint64_t settings_version() const override { return settings_version_; }
  Result<void> update(const std::string& repository, const std::function<void(RepositorySettings&)>& change) override;
  Result<void> remove(const std::string& repository) override;
  Result<void> link(const std::string& repository, const std::string& digest, const std::string& media_type) override;
  Result<void> unlink(const std::string& repository, const std::string& digest) override;
  Result<ManifestLink> manifest(const std::string& repository, const std::string& digest) const override;
  std::vector<ManifestLink> manifests(const std::string& repository) const override;
  Result<std::string> tagged(const std::string& repository, const std::string& tag) const override;
  std::vector<Tagged> tags(const std::string& repository) const override;

  // For ImageStore::tag and untag; links the manifest too when it is not. FailedPrecondition (ImageTagAlreadyExistsException) when the repository's tags are
  // immutable and this one points elsewhere.
  Result<void> set_tag(const std::string& repository, const std::string& tag, const std::string& digest, const std::string& media_type);
  // As link(), but for the publishing, which is the caller's.
  Result<void> stage_link(const std::string& repository, const std::string& digest, const std::string& media_type, std::vector<Written>& files) const;
  Result<void> remove_tag(const std::string& repository, const std::string& tag);

 private:
  // What create() or update() wrote; nothing for a repository that was only pushed to.
  Result<std::optional<RepositorySettings>> written_settings(const std::string& repository) const;
  std::filesystem::path place(const std::string& repository) const;
  Result<void> stage(const std::filesystem::path& to, std::string_view line, std::vector<Written>& files) const;
  Result<void> write(const std::filesystem::path& path, std::string_view line) const;

  std::filesystem::path root_;
  std::atomic<std::uint64_t> settings_version_ = 0;
  std::mutex mutex_;  // orders changes; readers see whole files
};

}  // namespace watari::oci
