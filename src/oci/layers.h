#pragma once
// The unpacked layers: layers/<hex>/ holds fs/ (overlay format), layer.json and, once its data is known to be on the disk, the file
// "durable". A layer appears by one rename. A small one that was just built is durable by its tar among the blobs until it is flushed itself.
// Layers without "durable" that were written before the machine's last boot may
// miss data and are removed at open; those of this boot survive any SIGKILL, since the page cache does.
// Owned by the image store; thread-safe.
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "oci/files.h"
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
  // What a power cut must not take. A small layer that was just made is durable as a tar first: returned are the tars that the caller
  // publishes (publish_durably) as blobs; one flush of a small file costs less than one of thousands. Others are flushed here.
  Result<std::vector<Written>> make_durable(const std::vector<Layer>& layers);
  // Flushes the layers that have only their tars, and removes these. Some time later, on a thread that may wait.
  Result<void> settle();
  bool touch(const std::string& diff_id);  // false when it is not there
  Time used_at(const std::string& diff_id) const;
  // Out of the way by one rename; the caller removes `bin`.
  Result<void> move_away(const std::string& diff_id, const std::filesystem::path& bin);
  std::vector<std::string> diff_ids() const;

 private:
  explicit Layers(std::filesystem::path root) : root_(std::move(root)) {}
  std::filesystem::path place(const std::string& diff_id) const;
  std::filesystem::path blob(const std::string& diff_id) const;
  bool is_durable(const std::string& diff_id) const;
  Result<void> flush(const std::vector<std::string>& diff_ids);
  Result<void> publish(const std::filesystem::path& staging, const std::string& diff_id, const Info& info);
  void drop_unsafe() const;
  class Turn;

  std::filesystem::path root_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, std::filesystem::path> tars_;  // of layers made since the start, not durable yet: in tars/, emptied at open
  std::set<std::string> busy_;  // diff ids somebody is unpacking, adding or removing
};

}  // namespace watari::oci
