#pragma once
// The unpacked layers: layers/<hex>/ holds fs/ (overlay format), layer.json and, once its data is known to be on the disk, the file
// "durable". A layer appears by one rename. Layers without "durable" that were written before the machine's last boot may
// miss data and are removed at open; those of this boot survive any SIGKILL, since the page cache does.
// Owned by the image store; thread-safe.
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "oci/image_store.h"

namespace watari::oci {

class Layers {
 public:
  static Result<std::unique_ptr<Layers>> open(const std::filesystem::path& root);

  struct Info {
    std::int64_t size = 0;   // of the canonical tar; 0 when it came from a blob
    bool made_here = false;  // its bytes are the canonical tar of fs/
    WATARI_FIELDS(Info, size, made_here)
  };
  std::optional<Info> find(const std::string& diff_id) const;
  std::filesystem::path directory(const std::string& diff_id) const;  // …/fs

  // See ImageStore::add_layer.
  Result<Layer> add(const std::filesystem::path& directory);
  // Corrupt when the plain bytes do not hash to `diff_id`. Nothing is left then. Does nothing for a layer that is there.
  Result<void> unpack(const std::string& diff_id, codec::Source blob);
  Result<void> make_durable(const std::vector<Layer>& layers);
  bool touch(const std::string& diff_id);  // false when it is not there
  Time used_at(const std::string& diff_id) const;
  // Out of the way by one rename; the caller removes `bin`.
  Result<void> move_away(const std::string& diff_id, const std::filesystem::path& bin);
  std::vector<std::string> diff_ids() const;

 private:
  explicit Layers(std::filesystem::path root) : root_(std::move(root)) {}
  std::filesystem::path place(const std::string& diff_id) const;
  Result<void> publish(const std::filesystem::path& staging, const std::string& diff_id, const Info& info);
  void drop_unsafe() const;
  class Turn;

  std::filesystem::path root_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::set<std::string> busy_;  // diff ids somebody is unpacking, adding or removing
};

}  // namespace watari::oci
