#include "base/shared_map.h"

namespace watari {
namespace {

using Node = SharedTree::Node;
using Link = SharedTree::Link;

Link node(const Node& of, Link left, Link right) {
  return std::make_shared<const Node>(of.entry, of.key, of.rank, std::move(left), std::move(right));
}

bool above(const Node& one, const Node& other) { return one.rank != other.rank ? one.rank > other.rank : *one.key > *other.key; }

// The parts below and above a key, without the key itself.
std::pair<Link, Link> split(const Link& at, std::string_view key) {
  if (!at) return {};
  auto order = key.compare(*at->key);
  if (order == 0) return {at->left, at->right};
  if (order < 0) {
    auto [low, high] = split(at->left, key);
    return {std::move(low), node(*at, std::move(high), at->right)};
  }
  auto [low, high] = split(at->right, key);
  return {node(*at, at->left, std::move(low)), std::move(high)};
}

Link with(const Link& at, const Node& added) {
  if (!at) return node(added, {}, {});
  auto order = added.key->compare(*at->key);
  if (order == 0) return node(added, at->left, at->right);
  if (above(added, *at)) {
    auto [low, high] = split(at, *added.key);
    return node(added, std::move(low), std::move(high));
  }
  return order < 0 ? node(*at, with(at->left, added), at->right) : node(*at, at->left, with(at->right, added));
}

Link merge(const Link& low, const Link& high) {
  if (!low) return high;
  if (!high) return low;
  return above(*low, *high) ? node(*low, low->left, merge(low->right, high)) : node(*high, merge(low, high->left), high->right);
}

// The key is there.
Link without(const Link& at, std::string_view key) {
  auto order = key.compare(*at->key);
  if (order == 0) return merge(at->left, at->right);
  return order < 0 ? node(*at, without(at->left, key), at->right) : node(*at, at->left, without(at->right, key));
}

// Whichever root ranks higher is not in the other map at all: there it would be the root.
void differ(const Link& before, const Link& after, const SharedTree::Visit& visit) {
  if (before == after) return;
  const Node* top = !after || (before && above(*before, *after)) ? before.get() : after.get();
  const auto& key = *top->key;
  auto parts = [&](const Link& of) -> std::pair<Link, Link> {
    if (!of) return {};
    return *of->key == key ? std::pair(of->left, of->right) : split(of, key);
  };
  auto has = [&](const Link& of) { return of && *of->key == key; };
  auto [before_low, before_high] = parts(before);
  auto [after_low, after_high] = parts(after);
  differ(before_low, after_low, visit);
  const void* old = has(before) ? before->entry.get() : nullptr;
  const void* now = has(after) ? after->entry.get() : nullptr;
  if (old != now) visit(key, old, now);
  differ(before_high, after_high, visit);
}

}  // namespace

SharedTree::Path::Path(const Node* root, std::string_view first_not_below) {
  for (const auto* at = root; at;) {
    if (*at->key < first_not_below) {
      at = at->right.get();
    } else {
      nodes_.push_back(at);
      at = at->left.get();
    }
  }
}

void SharedTree::Path::next() {
  const auto* at = nodes_.back();
  nodes_.pop_back();
  descend(at->right.get());
}

void SharedTree::Path::descend(const Node* node) {
  for (; node; node = node->left.get()) nodes_.push_back(node);
}

const void* SharedTree::find(std::string_view key) const {
  for (const auto* at = root_.get(); at;) {
    auto order = key.compare(*at->key);
    if (order == 0) return at->entry.get();
    at = (order < 0 ? at->left : at->right).get();
  }
  return nullptr;
}

void SharedTree::put(std::shared_ptr<const void> entry, const std::string& key_in_entry) {
  size_ += find(key_in_entry) == nullptr;
  root_ = with(root_, Node{std::move(entry), &key_in_entry, std::hash<std::string>{}(key_in_entry), {}, {}});
}

void SharedTree::erase(std::string_view key) {
  if (!find(key)) return;
  --size_;
  root_ = without(root_, key);
}

void SharedTree::differences(const SharedTree& before, const SharedTree& after, const Visit& visit) { differ(before.root_, after.root_, visit); }

}  // namespace watari
