#pragma once
// An ordered map with string keys whose copies share everything: a copy is one pointer, a change makes anew the few nodes on the way to what
// changed (log n), and what two maps differ in is found without looking at what they share. So a table can be handed to another
// thread whole, for each change, and whoever gets it does the work of the change, however large the table is.
//
// A treap whose ranks are digests of the keys: its shape follows from its keys alone, whatever the order in which they came, so
// that equal parts of two maps of one origin are the same nodes in the same places. The tree does not know the type of the values: it is
// compiled once (shared_map.cc), not for each type in each file.
// Thread: a map belongs to one thread, as a std::map does; copies of it may be used by others at the same time. Entries never change: a
// pointer to one is valid as long as any map has it.
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace watari {

// What SharedMap is made of; entries are known by their keys alone.
class SharedTree {
 public:
  struct Node;
  using Link = std::shared_ptr<const Node>;
  struct Node {
    std::shared_ptr<const void> entry;
    const std::string* key;  // a part of the entry
    std::size_t rank;        // above those of its children
    Link left, right;
  };

  // The way to one node, in the order of keys; at the end it is empty.
  class Path {
   public:
    explicit Path(const Node* root) { descend(root); }
    Path(const Node* root, std::string_view first_not_below);
    const Node& node() const { return *nodes_.back(); }
    void next();
    bool at_end() const { return nodes_.empty(); }

   private:
    void descend(const Node* node);
    std::vector<const Node*> nodes_;  // nodes that come next and whose left side is done, the nearest last
  };

  const Node* root() const { return root_.get(); }
  std::size_t size() const { return size_; }
  // The entry, or null.
  const void* find(std::string_view key) const;
  void put(std::shared_ptr<const void> entry, const std::string& key_in_entry);
  void erase(std::string_view key);

  // See SharedMap::differences; `before` and `after` are entries.
  using Visit = std::function<void(const std::string& key, const void* before, const void* after)>;
  static void differences(const SharedTree& before, const SharedTree& after, const Visit& visit);

 private:
  Link root_;
  std::size_t size_ = 0;
};

template <class T>
class SharedMap {
 public:
  using Entry = std::pair<const std::string, T>;

  // Forward, by key.
  class Iterator {
   public:
    using value_type = Entry;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(SharedTree::Path path) : path_(std::move(path)) {}
    const Entry& operator*() const { return *static_cast<const Entry*>(path_.node().entry.get()); }
    const Entry* operator->() const { return &**this; }
    Iterator& operator++() {
      path_.next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return path_.at_end(); }

   private:
    SharedTree::Path path_;
  };

  Iterator begin() const { return Iterator(SharedTree::Path(tree_.root())); }
  std::default_sentinel_t end() const { return {}; }
  // From the first key that is not below `key`.
  Iterator from(std::string_view key) const { return Iterator(SharedTree::Path(tree_.root(), key)); }

  const T* find(std::string_view key) const { return value(tree_.find(key)); }
  bool contains(std::string_view key) const { return tree_.find(key) != nullptr; }
  std::size_t size() const { return tree_.size(); }
  bool empty() const { return tree_.size() == 0; }

  void put(const std::string& key, T value) {
    auto entry = std::make_shared<const Entry>(key, std::move(value));
    const auto& kept = entry->first;
    tree_.put(std::move(entry), kept);
  }
  void erase(std::string_view key) { tree_.erase(key); }

  // Whether it is the same map, unchanged; equal ones need not be.
  bool same(const SharedMap& other) const { return tree_.root() == other.tree_.root(); }

  // Calls `visit(key, const T* before, const T* after)`, by key, for each entry that was put anew, added (`before` is null) or erased
  // (`after` is null) between the two. The work of the changes, when one map came from the other.
  template <class Visit>
  static void differences(const SharedMap& before, const SharedMap& after, Visit&& visit) {
    SharedTree::differences(before.tree_, after.tree_, [&](const std::string& key, const void* old, const void* now) { visit(key, value(old), value(now)); });
  }

 private:
  static const T* value(const void* entry) { return entry ? &static_cast<const Entry*>(entry)->second : nullptr; }
  SharedTree tree_;
};

}  // namespace watari
