#pragma once
// Content on the file system. Owned by the image store; thread-safe, since every change is one rename or unlink.
#include "oci/content.h"
#include "oci/files.h"
#include "oci/layers.h"

namespace watari::oci {

class FileContent final : public Content {
 public:
  FileContent(std::filesystem::path root, Layers& layers) : root_(std::move(root)), layers_(layers) {}

  Result<std::unique_ptr<BlobWriter>> writer(std::string_view like) override;
  Result<std::string> put(std::string_view bytes, std::string_view like) override;
  Result<void> adopt(const std::filesystem::path& file, const std::string& digest) override;
  Result<std::int64_t> size(const std::string& digest) const override;
  Result<void> read(const std::string& digest, std::int64_t offset, std::int64_t length, const codec::Sink& sink) const override;
  Result<std::string> get(const std::string& digest) const override;
  std::optional<std::filesystem::path> file(const std::string& digest) const override;
  Result<std::int64_t> touch(const std::string& digest) override;

  // put() in two steps: adds what is to be published (publish_durably) to `files` unless it is here. The digest is returned.
  Result<std::string> stage(std::string_view bytes, std::vector<Written>& files, std::string_view like = "sha256");

  std::vector<std::pair<std::string, Time>> blobs() const;  // with when they were last written or touched
  // NotFound when there is no such file.
  Result<void> remove(const std::string& digest);

  // fsync, rename, fsync of the directory.
  Result<void> move_in(int fd, const std::filesystem::path& from, const std::string& digest) const;

 private:
  std::filesystem::path place(const std::string& digest) const;
  Result<void> read_file_part(const std::filesystem::path& path, std::int64_t offset, std::int64_t length, const codec::Sink& sink) const;

  std::filesystem::path root_;
  Layers& layers_;
};

}  // namespace watari::oci
