#include "base/shared_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace watari {
namespace {

using Map = SharedMap<int>;
using Plain = std::map<std::string, int>;
struct Change {
  std::string key;
  int before, after;  // 0: none
  bool operator==(const Change&) const = default;
};

Plain contents(const Map& map) {
  Plain out;
  for (const auto& [key, value] : map) out.emplace_hint(out.end(), key, value);
  return out;
}

std::vector<Change> differences(const Map& before, const Map& after) {
  std::vector<Change> out;
  Map::differences(before, after, [&](const std::string& key, const int* old, const int* now) { out.push_back({key, old ? *old : 0, now ? *now : 0}); });
  return out;
}

std::vector<Change> differences(const Plain& before, const Plain& after) {
  std::vector<Change> out;
  Plain all = before;
  all.insert(after.begin(), after.end());
  for (const auto& [key, any] : all) {
    auto old = before.find(key), now = after.find(key);
    Change change{key, old == before.end() ? 0 : old->second, now == after.end() ? 0 : now->second};
    if (change.before != change.after) out.push_back(change);
  }
  return out;
}

TEST(SharedMap, IsAnOrderedMapAndItsCopiesStayAsTheyWere) {
  std::mt19937 random(7);
  Map map;
  Plain plain;
  std::vector<std::pair<Map, Plain>> copies;
  for (int i = 1; i <= 3000; ++i) {
    auto key = std::to_string(random() % 400);
    if (random() % 3 == 0) map.erase(key), plain.erase(key);
    else map.put(key, i), plain[key] = i;
    if (i % 100 == 0) copies.emplace_back(map, plain);
  }
  for (const auto& [copy, expected] : copies) {
    EXPECT_EQ(contents(copy), expected);
    EXPECT_EQ(copy.size(), expected.size());
  }
  for (int i = 0; i < 400; ++i) {
    auto key = std::to_string(i);
    auto found = plain.find(key);
    ASSERT_EQ(map.contains(key), found != plain.end());
    if (found != plain.end()) EXPECT_EQ(*map.find(key), found->second);
    auto at = map.from(key);
    auto expected = plain.lower_bound(key);
    ASSERT_EQ(at == map.end(), expected == plain.end());
    if (expected != plain.end()) EXPECT_EQ(at->first, expected->first);
  }
}

TEST(SharedMap, TellsExactlyWhatTwoMapsDifferIn) {
  std::mt19937 random(11);
  std::vector<std::pair<Map, Plain>> versions(1);
  for (int i = 1; i <= 2000; ++i) {
    auto [map, plain] = versions.back();
    auto key = std::to_string(random() % 300);
    if (random() % 3 == 0) map.erase(key), plain.erase(key);
    else map.put(key, i), plain[key] = i;
    versions.emplace_back(std::move(map), std::move(plain));
  }
  for (int i = 0; i < 300; ++i) {
    const auto& [before, plain_before] = versions[random() % versions.size()];
    const auto& [after, plain_after] = versions[random() % versions.size()];
    EXPECT_EQ(differences(before, after), differences(plain_before, plain_after));
  }
}

TEST(SharedMap, SharesEntriesThatDidNotChange) {
  Map map;
  for (int i = 0; i < 1000; ++i) map.put(std::to_string(i), i);
  auto copy = map;
  EXPECT_TRUE(copy.same(map));
  copy.put("500", 1);
  EXPECT_FALSE(copy.same(map));
  for (int i = 0; i < 1000; ++i) {
    auto key = std::to_string(i);
    EXPECT_EQ(copy.find(key) == map.find(key), i != 500);
  }
  // The same keys in another order: the same shape, so that a difference costs what differs.
  Map other;
  for (int i = 999; i >= 0; --i) other.put(std::to_string(i), i);
  EXPECT_EQ(contents(other), contents(map));
  copy.erase("500");
  EXPECT_EQ(differences(map, copy), (std::vector<Change>{{"500", 500, 0}}));
  EXPECT_EQ(differences(Map(), Map()), std::vector<Change>());
}

}  // namespace
}  // namespace watari
