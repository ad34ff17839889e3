#include "aws/tags.h"

#include <gtest/gtest.h>

namespace watari::aws {
namespace {

struct Plain {
  std::string Key, Value;
};
struct Optional {
  std::optional<std::string> key, value;
};

std::vector<model::Tag> tags(int count) {
  std::vector<model::Tag> out;
  for (int i = 0; i < count; ++i) out.push_back({"key" + std::to_string(i), "value"});
  return out;
}

TEST(Tags, ReplaceTheValueOfTheirKeyInItsPlace) {
  std::vector<model::Tag> onto{{"team", "red"}, {"stage", "test"}};
  ASSERT_TRUE(merge_tags(onto, std::vector<Plain>{{"team", "blue"}, {"cost", "7"}}, "TooMany"));
  auto shown = to_wire_tags<Plain>(onto);
  ASSERT_EQ(shown.size(), 3u);
  EXPECT_EQ(shown[0].Key + "=" + shown[0].Value, "team=blue");
  EXPECT_EQ(shown[1].Key + "=" + shown[1].Value, "stage=test");
  EXPECT_EQ(shown[2].Key + "=" + shown[2].Value, "cost=7");
}

TEST(Tags, AreReadInEitherSpelling) {
  std::vector<model::Tag> onto;
  ASSERT_TRUE(merge_tags(onto, std::vector<Optional>{{"team", std::nullopt}}, "TooMany"));
  auto shown = to_wire_tags<Optional>(onto);
  ASSERT_EQ(shown.size(), 1u);
  EXPECT_EQ(shown[0].key, "team");
  EXPECT_EQ(shown[0].value, "");
}

TEST(Tags, AreAtMostFiftyAndTheServiceNamesTheError) {
  auto full = tags(50);
  EXPECT_TRUE(merge_tags(full, std::vector<Plain>{{"key7", "other"}}, "TooMany"));
  auto refused = merge_tags(full, std::vector<Plain>{{"one", "more"}}, "TooMany");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "TooMany");
}

TEST(Tags, AreRemovedByKeyWhetherTheyAreThereOrNot) {
  auto some = tags(3);
  ASSERT_TRUE(remove_tags(some, {"key1", "none"}));
  ASSERT_EQ(some.size(), 2u);
  EXPECT_EQ(some[1].key, "key2");
}

}  // namespace
}  // namespace watari::aws
