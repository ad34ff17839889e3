#include "aws/logs/filter.h"

#include <gtest/gtest.h>

#include "aws/logs/names.h"

namespace watari::aws::logs {
namespace {

bool matches(std::string_view pattern, std::string_view text) {
  auto matcher = parse_filter(pattern);
  EXPECT_TRUE(matcher) << pattern << ": " << (matcher ? "" : matcher.error().message);
  return matcher && (!*matcher || (*matcher)(text));
}

TEST(FilterPattern, WantsAllTermsAndNoneOfTheExcluded) {
  EXPECT_TRUE(matches("", "anything"));
  EXPECT_TRUE(matches("ERROR", "[ERROR] x"));
  EXPECT_FALSE(matches("ERROR", "[error] x"));
  EXPECT_TRUE(matches("ERROR x", "x ERROR"));
  EXPECT_FALSE(matches("ERROR -x", "x ERROR"));
  EXPECT_TRUE(matches("\"two words\"", "a two words b"));
  EXPECT_FALSE(matches("\"two words\"", "two other words"));
  EXPECT_TRUE(matches("\"say \\\"hi\\\"\"", "say \"hi\""));
  EXPECT_TRUE(matches("?ERROR ?WARN", "WARN"));
  EXPECT_FALSE(matches("?ERROR ?WARN", "INFO"));
}

TEST(FilterPattern, SelectsJsonMembers) {
  auto line = R"({"level":"error","status":503,"path":"/api/x","tags":["a","b"],"ok":false,"user":{"name":"Ann Lee"},"none":null})";
  for (auto pattern : {"{ $.level = error }", "{ $.level = \"error\" }", "{ $.level = err* }", "{ $.status >= 500 }", "{ $.status = 503 }",
                       "{ $.status > 500 && $.path = \"/api/*\" }", "{ $.status = 1 || $.ok IS FALSE }", "{ $.tags[1] = b }",
                       "{ $.user.name = \"Ann Lee\" }", "{ $.none IS NULL }", "{ $.missing NOT EXISTS }", "{ $.level != info }",
                       "{ ($.status = 1 || $.status = 503) && $.ok IS FALSE }", "{ $['user'].name = Ann* }"})
    EXPECT_TRUE(matches(pattern, line)) << pattern;
  for (auto pattern : {"{ $.level = info }", "{ $.status < 500 }", "{ $.missing = x }", "{ $.missing != x }", "{ $.level > 5 }", "{ $.ok IS TRUE }"})
    EXPECT_FALSE(matches(pattern, line)) << pattern;
  EXPECT_FALSE(matches("{ $.level = error }", "level = error"));
  EXPECT_FALSE(matches("{ $.level = error }", "{not json"));
}

TEST(FilterPattern, RefusesByNameWhatItDoesNotDo) {
  for (auto pattern : {"[a, b]", "%ERR.*%", "\"open", "{ $.a = 1", "{ a = 1 }", "{ $.a }", "{ $.a > x }", "{ $.a = %x% }", "-"}) {
    auto matcher = parse_filter(pattern);
    ASSERT_FALSE(matcher) << pattern;
    EXPECT_EQ(matcher.error().reason, "InvalidParameterException") << pattern;
  }
  EXPECT_FALSE(parse_filter("{ " + std::string(1000, '(') + "$.a = 1 }"));
}

TEST(Utf8, ReplacesOnlyWhatIsNotUtf8) {
  EXPECT_EQ(to_utf8("é€😀\x01"), "é€😀\x01");
  EXPECT_EQ(to_utf8("a\xFFz"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(to_utf8("\xC3"), "\xEF\xBF\xBD");
  EXPECT_EQ(to_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

}  // namespace
}  // namespace watari::aws::logs
