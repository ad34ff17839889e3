#include "builder/expand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace watari::builder {
namespace {

std::string expanded(std::string_view word) {
  static const std::map<std::string, std::string> kVariables{{"x", "value"}, {"empty", ""}, {"file", "a.tar.gz"}, {"p", "/usr/local/bin"}};
  auto result = expand_word(word, [](const std::string& name) -> std::optional<std::string> {
    auto found = kVariables.find(name);
    return found == kVariables.end() ? std::nullopt : std::optional(found->second);
  }, '\\');
  return result ? *result : "error: " + result.error().message;
}

TEST(Expand, ReplacesVariablesInBothForms) {
  EXPECT_EQ(expanded("a$x-${x}b"), "avalue-valueb");
  EXPECT_EQ(expanded("$missing."), ".");
  EXPECT_EQ(expanded("$1 $? $"), "  $");
}

TEST(Expand, KeepsEscapesInPatternsAndKnowsNoSetsThere) {
  EXPECT_EQ(expand_word("${x%\\*}", [](auto&) { return std::optional<std::string>("a*"); }, '\\'), "a");
  EXPECT_EQ(expand_word("${x#[a]}", [](auto&) { return std::optional<std::string>("[a]b"); }, '\\'), "b");
  EXPECT_EQ(expand_word("${x//\\//-}", [](auto&) { return std::optional<std::string>("a/b/c"); }, '\\'), "a-b-c");
}

TEST(Expand, MatchesManyStarsInTime) {
  std::string pattern, text(4000, 'a');
  for (int i = 0; i < 200; ++i) pattern += "*a";
  EXPECT_TRUE(matches_pattern(pattern, text, false));
  EXPECT_FALSE(matches_pattern(pattern + "b", text, false));
}

TEST(Expand, HonoursQuotesAndEscapes) {
  EXPECT_EQ(expanded("'$x' \"$x\" \\$x \"a\\\"b\""), "$x value $x a\"b");
  EXPECT_EQ(expanded("\"a\\b\""), "a\\b");
  EXPECT_EQ(expanded("a\\ b"), "a b");
  EXPECT_EQ(expanded("\"open"), "error: a double quote is not closed in `\"open`");
}

TEST(Expand, KnowsDefaultsAlternativesAndRequirements) {
  EXPECT_EQ(expanded("${no:-d}${empty:-d}${empty-d}${x:-d}"), "ddvalue");
  EXPECT_EQ(expanded("${no:+a}${empty:+a}${empty+a}${x:+a}"), "aa");
  EXPECT_EQ(expanded("${no:-${x}}"), "value");
  EXPECT_EQ(expanded("${x:?why}"), "value");
  EXPECT_EQ(expanded("${no:?tell me}"), "error: no: tell me in `${no:?tell me}`");
  EXPECT_EQ(expanded("${empty?no}"), "");
}

TEST(Expand, RemovesPrefixesAndSuffixesAndReplaces) {
  EXPECT_EQ(expanded("${file%.*} ${file%%.*} ${file#*.} ${file##*.}"), "a.tar a tar.gz gz");
  EXPECT_EQ(expanded("${p/\\//:} ${p//\\//:} ${x/a/}"), ":usr/local/bin :usr:local:bin vlue");
}

TEST(Expand, CountsCharactersNotBytes) {
  auto name = [](auto&) { return std::optional<std::string>("h\u00e9llo"); };
  EXPECT_EQ(expand_word("${x#h?}", name, '\\'), "llo");
  EXPECT_EQ(expand_word("${x%%?llo}", name, '\\'), "h");
  EXPECT_EQ(expand_word("${x//?/-}", name, '\\'), "-----");
  EXPECT_TRUE(matches_pattern("[\u00e0-\u00ff]x[^\u00e9]", "\u00e9x\u00ea", true));
}

TEST(Expand, TakesAnEmptyPatternForThePlacesBetweenCharacters) {
  EXPECT_EQ(expanded("${file///-}"), "-a-.-t-a-r-.-g-z-");
}

TEST(Expand, SaysWhatIsWrong) {
  EXPECT_EQ(expanded("${x"), "error: ${ has no closing } in `${x`");
  EXPECT_EQ(expanded("${}"), "error: expected a variable name after ${ in `${}`");
  EXPECT_EQ(expanded("${x!}"), "error: expected } or one of :- :+ :? - + ? # ## % %% / // after the variable name in `${x!}`");
}

TEST(Expand, LeavesQuotesOfTextsAlone) {
  auto lookup = [](const std::string&) { return std::optional<std::string>("v"); };
  EXPECT_EQ(*expand_text("'$a' \"b\" \\n \\$a\n", lookup, '\\'), "'v' \"b\" n $a\n");
}

TEST(Expand, MatchesShellPatterns) {
  EXPECT_TRUE(matches_pattern("*.rb", "app.rb", true));
  EXPECT_FALSE(matches_pattern("*.rb", "lib/app.rb", true));
  EXPECT_TRUE(matches_pattern("[a-c]?[^x]", "bzy", true));
  EXPECT_FALSE(matches_pattern("a?", "a/", true));
  EXPECT_TRUE(matches_pattern("a\\*", "a*", true));
  EXPECT_FALSE(matches_pattern("a", "ab", true));
}

TEST(Expand, SplitsWordsOutsideQuotes) {
  EXPECT_THAT(split_words("a 'b c' \"d e\"f  g\\ h", '\\'), testing::ElementsAre("a", "'b c'", "\"d e\"f", "g\\ h"));
}

}  // namespace
}  // namespace watari::builder
