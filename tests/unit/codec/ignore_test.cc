#include "codec/ignore.h"

#include <gtest/gtest.h>

namespace watari::codec {
namespace {

IgnoreRules rules(std::string_view text) { return *IgnoreRules::parse(text); }

TEST(Ignore, MatchesFilesDirectoriesAndWhatLiesBelow) {
  auto r = rules("# comment\n\n/tmp\n*.log\nnode_modules/\n");
  EXPECT_TRUE(r.ignores("tmp"));
  EXPECT_TRUE(r.ignores("tmp/a/b"));
  EXPECT_TRUE(r.ignores("x.log"));
  EXPECT_FALSE(r.ignores("sub/x.log"));
  EXPECT_TRUE(r.ignores("node_modules/a"));
  EXPECT_FALSE(r.ignores("src/tmp"));
}

TEST(Ignore, UnderstandsDoubleStarsAndSets) {
  auto r = rules("**/*.o\nfoo/**/bar\n[ab]?\n");
  EXPECT_TRUE(r.ignores("x.o"));
  EXPECT_TRUE(r.ignores("a/b/x.o"));
  EXPECT_TRUE(r.ignores("foo/bar"));
  EXPECT_TRUE(r.ignores("foo/1/2/bar/x"));
  EXPECT_TRUE(r.ignores("a1"));
  EXPECT_FALSE(r.ignores("c1"));
}

TEST(Ignore, LetsTheLastRuleDecide) {
  auto r = rules("*\n!app\n!lib/keep\napp/tmp\n");
  EXPECT_FALSE(r.ignores("app/main.rb"));
  EXPECT_TRUE(r.ignores("app/tmp/x"));
  EXPECT_TRUE(r.ignores("README.md"));
  EXPECT_FALSE(r.ignores("lib/keep"));
  EXPECT_TRUE(r.skips_directory("docs"));
  EXPECT_FALSE(r.skips_directory("lib"));
  EXPECT_TRUE(r.skips_directory("app/tmp") == true);
}

TEST(Ignore, PassesOverPatternsThatLeadOut) {
  auto r = rules("a\n../b\nc/../../d\n");
  EXPECT_TRUE(r.ignores("a"));
  EXPECT_FALSE(r.ignores("b"));
  EXPECT_FALSE(r.ignores("d"));
}

TEST(Ignore, RefusesWhatIsNoPattern) {
  EXPECT_FALSE(IgnoreRules::parse("!\n"));
  auto wrong = IgnoreRules::parse("a\n[b\n");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, ".dockerignore:2: `[b` has a [ without its ]; write \\[ for the character");
}

}  // namespace
}  // namespace watari::codec
