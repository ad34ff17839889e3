#include "aws/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "aws/protocol.h"

#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace watari::aws {
namespace {

using codec::Json;
using testing::HasSubstr;

// What the generator would make of a small service.
struct Tag {
  std::string Key;
  std::optional<std::string> Value;
};
struct Thing {
  std::string name;
  std::optional<int> count;
  std::optional<std::string> color;
  std::optional<bool> on;
  std::optional<Time> at;
  std::vector<Tag> tags;
  std::map<std::string, std::string> labels;
};

constexpr Shape s_Text = {.kind = Kind::String, .name = "Text"};
constexpr Shape s_Name = {.kind = Kind::String, .name = "Name", .pattern = "[a-z]+", .min = 1, .max = 8};
constexpr Shape s_Count = {.kind = Kind::Integer, .name = "Count", .min = 1, .max = 10};
constexpr std::string_view e_Color[] = {"RED", "BLUE"};
constexpr Shape s_Color = {.kind = Kind::String, .name = "Color", .values = e_Color};
constexpr Shape s_Bool = {.kind = Kind::Boolean, .name = "Bool"};
constexpr Shape s_Time = {.kind = Kind::Timestamp, .name = "Time"};
constexpr Member m_Tag[] = {{"Key", "Key", "Key", offsetof(Tag, Key), &s_Text, {}, true},
                            {"Value", "Value", "Value", offsetof(Tag, Value), &s_Text, kOptional<std::string>, false}};
constexpr Shape s_Tag = {.kind = Kind::Structure, .name = "Tag", .members = m_Tag};
constexpr Shape s_Tags = {.kind = Kind::List, .name = "Tags", .element = &s_Tag, .list = &kList<Tag>, .element_in = "member",
                          .element_out = "member", .max = 2};
constexpr Shape s_Labels = {.kind = Kind::Map, .name = "Labels", .element = &s_Text, .map = &kMap<std::string>};
constexpr Member m_Thing[] = {
    {"name", "Name", "Name", offsetof(Thing, name), &s_Name, {}, true},
    {"count", "Count", "Count", offsetof(Thing, count), &s_Count, kOptional<int>, false},
    {"color", "Color", "Color", offsetof(Thing, color), &s_Color, kOptional<std::string>, false},
    {"on", "On", "On", offsetof(Thing, on), &s_Bool, kOptional<bool>, false},
    {"at", "At", "At", offsetof(Thing, at), &s_Time, kOptional<Time>, false},
    {"tags", "Tags", "tagSet", offsetof(Thing, tags), &s_Tags, {}, false},
    {"labels", "Labels", "Labels", offsetof(Thing, labels), &s_Labels, {}, false},
};
constexpr Shape s_Thing = {.kind = Kind::Structure, .name = "Thing", .members = m_Thing};
constexpr std::string_view a_on[] = {"false"};
constexpr Accept a_tags[] = {{.name = "Key"}, {.name = "Value"}};
constexpr Accept a_Thing[] = {{.name = "name"}, {.name = "count"}, {.name = "color"}, {.name = "on", .values = a_on},
                              {.name = "at"}, {.name = "tags", .children = a_tags}};
constexpr Accept kAccept = {.name = "", .children = a_Thing};
constexpr Operation kOperation = {"MakeThing", s_Thing, s_Thing, kAccept, false, nullptr};
constexpr Protocol kQueryOnly[] = {Protocol::Query}, kJsonOnly[] = {Protocol::Json};
constexpr Service kQuery = {.name = "things", .protocols = kQueryOnly, .xml_namespace = "urn:things"};
constexpr Service kJson = {.name = "things", .protocols = kJsonOnly};

Result<Thing> read(std::string_view text) {
  Thing thing;
  TRY_VOID(decode(s_Thing, *codec::parse_json(text), kAccept, &thing));
  return thing;
}
std::string refusal(std::string_view text) {
  auto thing = read(text);
  return thing ? "accepted" : thing.error().message;
}

TEST(ShapeCodec, FillsEveryKindOfMember) {
  auto thing = read(R"({"name":"web","count":3,"color":"RED","on":false,"at":12.5,"tags":[{"Key":"a","Value":"b"},{"Key":"c"}]})");
  ASSERT_TRUE(thing) << thing.error().message;
  EXPECT_EQ(thing->name, "web");
  EXPECT_EQ(thing->count, 3);
  EXPECT_EQ(thing->at, Time(Millis(12500)));
  ASSERT_EQ(thing->tags.size(), 2u);
  EXPECT_EQ(thing->tags[0].Value, "b");
  EXPECT_FALSE(thing->tags[1].Value);
}

TEST(ShapeCodec, GivesBackWhatItRead) {
  auto text = R"({"name":"web","count":3,"tags":[{"Key":"a","Value":"b"}]})";
  auto thing = read(text);
  ASSERT_TRUE(thing);
  EXPECT_EQ(encode(s_Thing, &*thing).dump(), text);
}

TEST(ShapeCodec, RefusesMembersByNameThatNobodyActsUpon) {
  EXPECT_EQ(refusal(R"({"name":"web","labels":{"a":"b"}})"), "labels is not supported by Watari; remove it");
  EXPECT_EQ(refusal(R"({"name":"web","tags":[{"Key":"a","Hue":1}]})"), "tags.1.member.Hue is not supported by Watari; remove it");
  EXPECT_EQ(refusal(R"({"name":"web","on":true})"), "on 'true' is not supported by Watari; use false");
}

TEST(ShapeCodec, LetsMembersPassThatSayNothing) { EXPECT_EQ(refusal(R"({"name":"web","labels":{},"what":[],"count":null})"), "accepted"); }

TEST(ShapeCodec, ReportsAllViolationsAsAwsWordsThem) {
  EXPECT_EQ(refusal(R"({"count":11,"color":"GREEN"})"),
            "3 validation errors detected: Value null at 'name' failed to satisfy constraint: Member must not be null; "
            "Value '11' at 'count' failed to satisfy constraint: Member must have value less than or equal to 10; "
            "Value 'GREEN' at 'color' failed to satisfy constraint: Member must satisfy enum value set: [RED, BLUE]");
  EXPECT_THAT(refusal(R"({"name":"Web"})"), HasSubstr("Member must satisfy regular expression pattern: [a-z]+"));
  EXPECT_THAT(refusal(R"({"name":"abcdefghi"})"), HasSubstr("Member must have length less than or equal to 8"));
  EXPECT_THAT(refusal(R"({"name":"a","tags":[{"Key":"a"},{"Key":"a"},{"Key":"a"}]})"), HasSubstr("at 'tags' failed"));
}

TEST(ShapeCodec, CallsAWrongKindASerializationException) {
  for (auto text : {R"({"name":5})", R"({"name":"a","count":"5"})", R"({"name":"a","count":3000000000})", R"({"name":"a","tags":{"a":1}})",
                    R"({"name":"a","at":1e300})", R"([])"}) {
    auto thing = read(text);
    ASSERT_FALSE(thing) << text;
    EXPECT_EQ(thing.error().reason, "SerializationException") << text;
  }
}

net::Request form(std::string body) {
  net::Request request{.method = "POST", .path = "/", .body = std::move(body)};
  request.headers.add("content-type", "application/x-www-form-urlencoded; charset=utf-8");
  return request;
}

TEST(QueryProtocol, ReadsNestedParametersInNumericOrder) {
  auto json = read_request(Protocol::Query, kOperation, form("Action=MakeThing&Version=1&Name=a+b&Count=3&On=false&At=1970-01-01T00%3A00%3A12.5Z"
                                                    "&Tags.member.10.Key=z&Tags.member.2.Key=k%261&Tags.member.2.Value=v"));
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["name"].as_string(), "a b");
  EXPECT_EQ((*json)["count"].as_int(), 3);
  EXPECT_EQ((*json)["at"].as_double(), 12.5);
  EXPECT_EQ((*json)["tags"].dump(), R"([{"Key":"k&1","Value":"v"},{"Key":"z"}])");
}

TEST(QueryProtocol, LeavesUnknownParametersForTheCodecToRefuse) {
  auto json = read_request(Protocol::Query, kOperation, form("Action=MakeThing&Name=a&Hue.member.1=3"));
  ASSERT_TRUE(json);
  EXPECT_EQ(refusal(json->dump()), "Hue is not supported by Watari; remove it");
}

TEST(QueryProtocol, WritesXmlWithEscapedText) {
  Thing thing{.name = "a<b&c", .at = Time(Millis(1500)), .tags = {{"k", "v"}}};
  auto response = write_reply(Protocol::Query, kQuery, kOperation, encode(s_Thing, &thing), "id-1", "");
  EXPECT_EQ(response.body,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MakeThingResponse xmlns=\"urn:things\"><MakeThingResult><Name>a&lt;b&amp;c</Name>"
            "<At>1970-01-01T00:00:01.500Z</At><tagSet><member><Key>k</Key><Value>v</Value></member></tagSet></MakeThingResult>"
            "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></MakeThingResponse>");
}

TEST(Errors, TakeTheFormOfTheProtocol) {
  Error error{Code::Unauthenticated, "no", "SignatureDoesNotMatch"};
  EXPECT_EQ(to_wire(error, &kJson, Protocol::Json).code, "InvalidSignatureException");
  EXPECT_EQ(to_wire(error, &kQuery, Protocol::Query).status, 403);
  EXPECT_EQ(to_wire(error, nullptr, Protocol::Ec2).code, "AuthFailure");
  auto json = write_error(Protocol::Json, {"X", "m \"q\"", 400}, "id", "application/x-amz-json-1.0");
  EXPECT_EQ(json.body, R"({"__type":"X","message":"m \"q\""})");
  EXPECT_EQ(json.headers.get("content-type"), "application/x-amz-json-1.0");
  EXPECT_EQ(json.headers.get("x-amzn-errortype"), "X");
  auto ec2 = write_error(Protocol::Ec2, {"X", "m", 400}, "id", "");
  EXPECT_THAT(ec2.body, HasSubstr("<Response><Errors><Error><Code>X</Code><Message>m</Message></Error></Errors><RequestID>id</RequestID>"));
}

// A pattern that std::regex cannot compile would throw at the first request.
TEST(GeneratedShapes, HavePatternsThatCompile) {
  auto check = [](auto& self, const Shape& shape) -> void {
    if (!shape.pattern.empty()) {
      std::string text;
      Accept all{.name = "", .all = true};
      auto unlimited = shape;
      unlimited.min = Shape::kNoMin;
      EXPECT_NO_THROW((void)decode(unlimited, Json("x"), all, &text)) << shape.name;
    }
    if (shape.element) self(self, *shape.element);
    for (const auto& member : shape.members) self(self, *member.shape);
  };
  for (const auto* service : services())
    for (const auto& operation : service->operations) check(check, operation.input);
}

}  // namespace
}  // namespace watari::aws
