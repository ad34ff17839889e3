#pragma once
// Build contexts as clients uploaded them, kept between builds so that only changed files have to come again.
//
//   DIR/<id>.files   the tree;  DIR/<id>.index   its index (context_index.h), when the client sent one
//   DIR/.tmp-*       half-made; removed at open
//   DIR/boot         the machine's start in which all of this was written
//
// Nothing here is flushed: after another start of the machine files may be cut off or empty while their index is whole, and a build would
// take them for what the index says. So everything of an earlier start is removed at open; clients send it again.
//
// <id> is a part of the SHA-256 of the index, or of the tar that was sent whole. A new tree is made of hard links to the files of the trees
// before it wherever name, content, mode, owner, time and attributes are the same: trees never change while somebody knows them. The tree
// of nearly the same files that nobody uses or was promised is made over instead, which costs only what changed: its own context is gone
// then, and clients send the few files again. Content is known by its digest, never by size or time. Thread-safe.
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "builder/context_index.h"
#include "codec/stream.h"

namespace watari::builder {

struct Context {
  std::filesystem::path files;
  std::shared_ptr<const ContextIndex> index;  // nullptr when it was sent whole
  std::shared_ptr<const void> use;            // the tree stays what it is while somebody holds this
};

class Contexts {
 public:
  // Removes what a crash left half-made, and everything when the machine was started since.
  static Result<std::unique_ptr<Contexts>> open(std::filesystem::path directory);

  // Unpacks a tar (plain, gzip or zstd) and returns its id.
  Result<std::string> add(const codec::Source& archive);

  struct Offer {
    std::string id;
    std::vector<std::string> missing;  // digests of content that has to be supplied; nothing: the context is there
  };
  // Takes an index (plain, gzip or zstd).
  Result<Offer> offer(const codec::Source& index);
  // Takes a tar of the missing content, each file named by its digest. NotFound when no such index was offered lately.
  Result<Offer> supply(const std::string& id, const codec::Source& files);

  // The id that an index or a tar with this SHA-256 has.
  static std::string id_of(const std::string& sha256) { return sha256.substr(0, 32); }
  // Like offer(), supply() and add() it promises the context to a client: it stays until it was found by its id as often as it was promised.
  Result<std::string> promise(const std::string& sha256);
  // For a build, by its id, or by the whole SHA-256. NotFound: the client has to upload it again. The use is noted.
  Result<Context> find(const std::string& id_or_sha256);
  // Removes what is old: used more than an hour ago and not among the 16 used last, or more than a week ago.
  void sweep();

 private:
  using Index = std::shared_ptr<const ContextIndex>;
  explicit Contexts(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path files_of(const std::string& id) const { return directory_ / (id + ".files"); }
  std::filesystem::path index_of(const std::string& id) const { return directory_ / (id + ".index"); }
  void remember(const Index& index);
  void load_recent();
  Index known(const std::string& id);
  std::vector<std::string> missing(const ContextIndex& index) const;
  Result<Offer> make(const Index& index, const std::filesystem::path& supplied);
  Result<void> build_tree(const ContextIndex& index, const std::filesystem::path& supplied, const std::filesystem::path& tree);
  bool is_here(const std::string& id) const;
  Index take_over(const ContextIndex& index, const std::filesystem::path& supplied, const std::filesystem::path& tree);
  bool can_become(const ContextIndex& old, const ContextIndex& index, const std::filesystem::path& supplied) const;
  Result<std::set<std::string>> receive(const ContextIndex& index, const codec::Source& files, const std::filesystem::path& into);

  std::filesystem::path directory_;
  std::once_flag loaded_;
  std::mutex making_;         // trees are made and removed by one at a time
  mutable std::mutex mutex_;  // of what follows; taken after making_
  std::deque<Index> recent_;  // of trees that are here, the one used last first
  std::deque<Index> offered_; // not complete yet
  std::map<std::string, std::weak_ptr<const void>> used_;  // Context::use of each, by id
  std::map<std::string, int> promised_;                    // how often, by id
};

}  // namespace watari::builder
