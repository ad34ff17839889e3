#include "codec/json.h"

#include <gtest/gtest.h>

#include "codec/reflect.h"

namespace watari::codec {

enum class Colour { Red, Green };
WATARI_ENUM(Colour, {Colour::Red, "RED"}, {Colour::Green, "GREEN"})

struct Inner {
  std::vector<std::string> names;
  Seconds wait{30};
  WATARI_FIELDS(Inner, names, wait)
};
struct Outer {
  std::string title;
  std::optional<Inner> inner;
  std::map<std::string, std::string> tags;
  Colour colour = Colour::Red;
  bool on = false;
  WATARI_FIELDS(Outer, title, inner, tags, colour, on)
};

TEST(Json, KeepsOrderAndKindsThroughAParseAndADump) {
  std::string text = R"({"b":1,"a":[true,null,"x\n\u00e9",2.5],"c":{}})";
  auto parsed = parse_json(text);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->dump(), "{\"b\":1,\"a\":[true,null,\"x\\n\u00e9\",2.5],\"c\":{}}");
}

TEST(Json, RefusesTrailingTextAndDepth) {
  EXPECT_FALSE(parse_json("{} x"));
  EXPECT_FALSE(parse_json(std::string(200, '[') + std::string(200, ']')));
  EXPECT_EQ(parse_json("{\"a\":").error().code, Code::InvalidArgument);
}

TEST(Reflect, ReadsBackWhatItWrote) {
  Outer outer{.title = "t", .inner = Inner{{"a", "b"}, Seconds(5)}, .tags = {{"k", "v"}}, .colour = Colour::Green, .on = true};
  auto json = to_json(outer);
  EXPECT_EQ(json.dump(), R"({"title":"t","inner":{"names":["a","b"],"wait":5},"tags":{"k":"v"},"colour":"GREEN","on":true})");
  auto back = from_json<Outer>(json);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(to_json(*back), json);
}

TEST(Reflect, NamesThePathOfAWrongValue) {
  auto back = from_json<Outer>(*parse_json(R"({"inner":{"names":["a",1]}})"));
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().message, ".inner.names[1]: expected a string, found 1");
}

}  // namespace watari::codec
