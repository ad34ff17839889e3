#pragma once
// Which packages an image holds besides those of dpkg: every layer is searched once (directories, and the few files that are lists), and what
// it held is kept in memory, so that a build that changed one layer searches one layer.
//
// Owned by the builder; thread-safe. Blocking.
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "builder/package_lists.h"
#include "oci/image_store.h"

namespace watari::builder {

class ImagePackages {
 public:
  explicit ImagePackages(oci::ImageStore& images) : images_(images) {}
  struct Found {
    std::vector<Package> packages;    // in order, each once
    std::vector<std::string> unread;  // paths of lists that are there and cannot be read
  };
  // As a container of the image would see them: what a layer hides does not count.
  Result<Found> of(const oci::Image& image);

 private:
  struct List {
    std::vector<Package> packages;
    bool unread = false;
  };
  using Lists = std::map<std::string, List>;  // by path
  static List rpm_packages(const std::filesystem::path& path);
  std::shared_ptr<const Lists> lists_of(const std::string& diff_id, const std::filesystem::path& layer);

  oci::ImageStore& images_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Lists>> known_;  // by diff id: layers never change
};

}  // namespace watari::builder
