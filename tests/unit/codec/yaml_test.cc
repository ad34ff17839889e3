#include "codec/yaml.h"

#include <gtest/gtest.h>

namespace watari::codec {

TEST(Yaml, KnowsThePlaceOfEveryValue) {
  auto yaml = parse_yaml("a:\n  - x\n  - \"12\"\nb:\n", "f.yml");
  ASSERT_TRUE(yaml) << yaml.error().message;
  const auto& second = yaml->find("a")->items[1];
  EXPECT_EQ(second.text, "12");
  EXPECT_TRUE(second.quoted);
  EXPECT_EQ(second.line, 3);
  EXPECT_EQ(second.column, 5);
  EXPECT_EQ(yaml->find("b")->kind, Yaml::Kind::Null);
  EXPECT_EQ(yaml->find("b")->line, 4);
}

TEST(Yaml, NamesThePlaceOfAMistake) {
  EXPECT_TRUE(parse_yaml("a: [1, 2\nb: 3\n", "f.yml").error().message.starts_with("f.yml:2:")) << parse_yaml("a: [1, 2\nb: 3\n", "f.yml").error().message;
  EXPECT_EQ(parse_yaml("a: 1\nb: 2\na: 3\n", "f.yml").error().message, "f.yml:3:1: the key a is there already (line 1)");
  EXPECT_FALSE(parse_yaml(std::string(100, '['), "f.yml"));
}

}  // namespace watari::codec
