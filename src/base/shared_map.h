#pragma once
// An ordered map with string keys whose copies share everything: a copy is one pointer, a change makes anew the few nodes on the way to what
// changed (log n), and what two maps differ in is found without looking at what they share. So a table can be handed to another
// thread whole, for each change, and whoever gets it does the work of the change, however large the table is.
//
// A treap whose ranks are digests of the keys: its shape follows from its keys alone, whatever the order in which they came, so
// that equal parts of two maps of one origin are the same nodes in the same places.
// Thread: a map belongs to one thread, as a std::map does; copies of it may be used by others at the same time. Entries never change: a
// pointer to one is valid as long as any map has it.
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace watari {

template <class T>
class SharedMap {
 public:
  using Entry = std::pair<const std::string, T>;

 private:
  struct Node;
  using Link = std::shared_ptr<const Node>;
  struct Node {
    std::shared_ptr<const Entry> entry;
    std::size_t rank;  // above those of its children
    Link left, right;
  };

 public:
  // Forward, by key.
  class Iterator {
   public:
    using value_type = Entry;
    using difference_type = std::ptrdiff_t;
    const Entry& operator*() const { return *path_.back()->entry; }
    const Entry* operator->() const { return path_.back()->entry.get(); }
    Iterator& operator++() {
      const auto* node = path_.back();
      path_.pop_back();
      descend(node->right.get());
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return path_.empty(); }

   private:
    friend SharedMap;
    void descend(const Node* node) {
      for (; node; node = node->left.get()) path_.push_back(node);
    }
    std::vector<const Node*> path_;  // nodes that come next and whose left side is done, the nearest last
  };

  Iterator begin() const {
    Iterator at;
    at.descend(root_.get());
    return at;
  }
  std::default_sentinel_t end() const { return {}; }
  // From the first key that is not below `key`.
  Iterator from(std::string_view key) const {
    Iterator at;
    for (const auto* node = root_.get(); node;) {
      if (node->entry->first < key) {
        node = node->right.get();
      } else {
        at.path_.push_back(node);
        node = node->left.get();
      }
    }
    return at;
  }

  const T* find(std::string_view key) const {
    for (const auto* node = root_.get(); node;) {
      auto order = key.compare(node->entry->first);
      if (order == 0) return &node->entry->second;
      node = (order < 0 ? node->left : node->right).get();
    }
    return nullptr;
  }
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void put(const std::string& key, T value) {
    size_ += !contains(key);
    root_ = with(root_, Node{std::make_shared<const Entry>(key, std::move(value)), std::hash<std::string>{}(key), {}, {}});
  }
  void erase(const std::string& key) {
    if (!contains(key)) return;
    --size_;
    root_ = without(root_, key);
  }

  // Whether it is the same map, unchanged; equal ones need not be.
  bool same(const SharedMap& other) const { return root_ == other.root_; }

  // Calls `visit(key, const T* before, const T* after)`, by key, for each entry that was put anew, added (`before` is null) or erased
  // (`after` is null) between the two. The work of the changes, when one map came from the other.
  template <class Visit>
  static void differences(const SharedMap& before, const SharedMap& after, Visit&& visit) {
    differ(before.root_, after.root_, visit);
  }

 private:
  static Link node(const Node& of, Link left, Link right) {
    return std::make_shared<const Node>(of.entry, of.rank, std::move(left), std::move(right));
  }
  static bool above(const Node& one, const Node& other) {
    return one.rank != other.rank ? one.rank > other.rank : one.entry->first > other.entry->first;
  }

  // The parts below and above a key, without the key itself.
  static std::pair<Link, Link> split(const Link& at, const std::string& key) {
    if (!at) return {};
    auto order = key.compare(at->entry->first);
    if (order == 0) return {at->left, at->right};
    if (order < 0) {
      auto [low, high] = split(at->left, key);
      return {std::move(low), node(*at, std::move(high), at->right)};
    }
    auto [low, high] = split(at->right, key);
    return {node(*at, at->left, std::move(low)), std::move(high)};
  }

  static Link with(const Link& at, const Node& added) {
    if (!at) return node(added, {}, {});
    auto order = added.entry->first.compare(at->entry->first);
    if (order == 0) return node(added, at->left, at->right);
    if (above(added, *at)) {
      auto [low, high] = split(at, added.entry->first);
      return node(added, std::move(low), std::move(high));
    }
    return order < 0 ? node(*at, with(at->left, added), at->right) : node(*at, at->left, with(at->right, added));
  }

  static Link merge(const Link& low, const Link& high) {
    if (!low) return high;
    if (!high) return low;
    return above(*low, *high) ? node(*low, low->left, merge(low->right, high)) : node(*high, merge(low, high->left), high->right);
  }

  static Link without(const Link& at, const std::string& key) {
    auto order = key.compare(at->entry->first);
    if (order == 0) return merge(at->left, at->right);
    return order < 0 ? node(*at, without(at->left, key), at->right) : node(*at, at->left, without(at->right, key));
  }

  // Whichever root ranks higher is not in the other map at all: there it would be the root.
  template <class Visit>
  static void differ(const Link& before, const Link& after, Visit& visit) {
    if (before == after) return;
    const Node* top = !after || (before && above(*before, *after)) ? before.get() : after.get();
    const auto& key = top->entry->first;
    auto parts = [&](const Link& of) -> std::pair<Link, Link> {
      if (!of) return {};
      return of->entry->first == key ? std::pair(of->left, of->right) : split(of, key);
    };
    auto has = [&](const Link& of) { return of && of->entry->first == key; };
    auto [before_low, before_high] = parts(before);
    auto [after_low, after_high] = parts(after);
    differ(before_low, after_low, visit);
    const Entry* old = has(before) ? before->entry.get() : nullptr;
    const Entry* now = has(after) ? after->entry.get() : nullptr;
    if (old != now) visit(key, old ? &old->second : nullptr, now ? &now->second : nullptr);
    differ(before_high, after_high, visit);
  }

  Link root_;
  std::size_t size_ = 0;
};

}  // namespace watari
