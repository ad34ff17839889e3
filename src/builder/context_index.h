#pragma once
// The index of a build context: its tar, with the SHA-256 (64 hexadecimal digits) of each regular file's bytes in place of the bytes. A
// client sends it first, so that only content which is not here yet has to come over; and whoever wants to know what a context holds
// reads it here instead of the files. Immutable.
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"

namespace watari::builder {

class ContextIndex {
 public:
  struct Entry {
    std::string mode;     // "100644": type and mode, octal
    std::string owner;    // "0:0"
    std::string content;  // " <sha256>", or " -> <link>"; then the attributes
    std::string digest;   // of a regular file's bytes; a further name of a file has that of the first
    std::int64_t mtime = 0;
    bool directory = false, first_name = false;  // first_name: a regular file that the archive holds as one
    // Whether a file made of the other is as good as one made of this.
    bool same_inode(const Entry& other) const {
      return first_name && other.first_name && mtime == other.mtime && mode == other.mode && owner == other.owner && content == other.content;
    }
  };

  // InvalidArgument for what no client of ours makes: names that are not clean or come twice, devices, whiteouts. Missing parents are
  // directories of mode 0755. Corrupt for damaged archives.
  static Result<std::shared_ptr<const ContextIndex>> parse(std::string archive);

  const std::string& archive() const { return archive_; }
  const std::string& id() const { return id_; }  // a part of the archive's SHA-256
  const Entry* find(const std::string& path) const;
  // Some file with this content; nullptr when there is none.
  const std::string* path_of(const std::string& digest) const;
  // Everything below a directory ("" is all), directories before what is in them, names in the order of their bytes.
  void below(const std::string& directory, const std::function<void(const std::string& path, const Entry&)>& visit) const;

 private:
  // '/' before every other byte: a directory's contents follow it.
  struct Order {
    bool operator()(std::string_view left, std::string_view right) const;
  };
  Result<void> read();
  Result<void> add_parents(const std::string& path);

  std::string archive_, id_;
  std::map<std::string, Entry, Order> entries_;
  std::unordered_map<std::string_view, const std::string*> by_digest_;
};

}  // namespace watari::builder
