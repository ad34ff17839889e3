#pragma once
// A list that is never changed, so that snapshots can share it: whoever is given the same list as before knows, without looking, that
// nothing in it changed. Any thread.
#include <memory>
#include <utility>
#include <vector>

namespace watari::balancer {

template <class T>
class Shared {
 public:
  Shared() = default;
  Shared(std::vector<T> list) : list_(std::make_shared<const std::vector<T>>(std::move(list))) {}

  auto begin() const { return list_->begin(); }
  auto end() const { return list_->end(); }
  std::size_t size() const { return list_->size(); }
  bool empty() const { return list_->empty(); }
  const T& operator[](std::size_t i) const { return (*list_)[i]; }

  // Whether it is the same list; equal ones need not be.
  bool same(const Shared& other) const { return list_ == other.list_; }
  // Makes it another list, which begins as a copy; valid for changes until the next one is shared.
  std::vector<T>& edit() {
    auto copy = std::make_shared<std::vector<T>>(*list_);
    list_ = copy;
    return *copy;
  }

 private:
  std::shared_ptr<const std::vector<T>> list_ = std::make_shared<const std::vector<T>>();
};

}  // namespace watari::balancer
