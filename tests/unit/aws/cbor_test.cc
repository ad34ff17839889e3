#include "aws/cbor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "aws/protocol.h"

namespace watari::aws {
namespace {

using codec::Json;
using testing::HasSubstr;

constexpr Shape s_Text = {.kind = Kind::String, .name = "Text"};
constexpr Shape s_Long = {.kind = Kind::Long, .name = "Long"};
constexpr Shape s_Double = {.kind = Kind::Double, .name = "Double"};
constexpr Shape s_Bool = {.kind = Kind::Boolean, .name = "Bool"};
constexpr Shape s_Time = {.kind = Kind::Timestamp, .name = "Time"};
constexpr Shape s_Blob = {.kind = Kind::Blob, .name = "Blob"};
constexpr Shape s_List = {.kind = Kind::List, .name = "List", .element = &s_Time};
constexpr Shape s_Map = {.kind = Kind::Map, .name = "Map", .element = &s_Blob};
constexpr Member m_All[] = {
    {"text", "", "", 0, &s_Text, {}, false}, {"long", "", "", 0, &s_Long, {}, false}, {"double", "", "", 0, &s_Double, {}, false},
    {"bool", "", "", 0, &s_Bool, {}, false}, {"time", "", "", 0, &s_Time, {}, false}, {"blob", "", "", 0, &s_Blob, {}, false},
    {"times", "", "", 0, &s_List, {}, false}, {"blobs", "", "", 0, &s_Map, {}, false},
};
constexpr Shape s_All = {.kind = Kind::Structure, .name = "All", .members = m_All};

std::string bytes(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return out;
}
Json read(const Shape& shape, std::string_view hex) {
  auto json = read_cbor(shape, bytes(hex));
  EXPECT_TRUE(json) << hex << ": " << json.error().message;
  return json ? *json : Json("failed");
}
std::string refusal(const Shape& shape, std::string_view hex) {
  auto json = read_cbor(shape, bytes(hex));
  if (json) return "accepted";
  EXPECT_EQ(json.error().reason, "SerializationException");
  return json.error().message;
}

// Source: RFC 8949, appendix A
TEST(Cbor, ReadsIntegersOfEveryLength) {
  for (auto [hex, value] : {std::pair{"00", 0L}, {"17", 23L}, {"1818", 24L}, {"1903e8", 1000L}, {"1a000f4240", 1000000L},
                            {"1b000000e8d4a51000", 1000000000000L}, {"20", -1L}, {"3903e7", -1000L}, {"1800", 0L},
                            {"3b7fffffffffffffff", INT64_MIN}, {"1b7fffffffffffffff", INT64_MAX}})
    EXPECT_EQ(read(s_Long, hex).as_int(), value) << hex;
  EXPECT_THAT(refusal(s_Long, "1b8000000000000000"), HasSubstr("beyond 64 bits"));
}

TEST(Cbor, ReadsDoublesOfEveryPrecision) {
  for (auto [hex, value] : {std::pair{"f93c00", 1.0}, {"f90001", 5.960464477539063e-8}, {"f9c400", -4.0}, {"f97bff", 65504.0},
                            {"fa47c35000", 100000.0}, {"fb3ff199999999999a", 1.1}, {"fbc010666666666666", -4.1}, {"05", 5.0}})
    EXPECT_EQ(read(s_Double, hex).as_double(), value) << hex;
  for (auto hex : {"f97c00", "f97e00", "fa7f800000", "fb7ff0000000000000", "fb7ff8000000000000"})
    EXPECT_THAT(refusal(s_Double, hex), HasSubstr("infinite or none")) << hex;
}

TEST(Cbor, ReadsDefiniteAndIndefiniteLengthsAlike) {
  EXPECT_EQ(read(s_Text, "6449455446").as_string(), "IETF");
  EXPECT_EQ(read(s_Text, "7f657374726561646d696e67ff").as_string(), "streaming");
  EXPECT_EQ(read(s_Blob, "5f42010243030405ff"), read(s_Blob, "450102030405"));
  EXPECT_EQ(read(s_All, "a164746578746161"), Json::object({{"text", "a"}}));
  EXPECT_EQ(read(s_All, "bf64746578746161ff"), Json::object({{"text", "a"}}));
  EXPECT_EQ(read(s_All, "a16574696d657382c101c102"), read(s_All, "bf6574696d65739fc101c102ffff"));
}

TEST(Cbor, ReadsTimestampsOnlyWithTagOne) {
  EXPECT_EQ(read(s_Time, "c11a514b67b0").as_double(), 1363896240.0);
  EXPECT_EQ(read(s_Time, "c1fb41d452d9ec200000").as_double(), 1363896240.5);
  EXPECT_TRUE(read(s_Time, "f6").is_null());
  EXPECT_THAT(refusal(s_Time, "1a514b67b0"), HasSubstr("a timestamp without tag 1"));
  EXPECT_THAT(refusal(s_Time, "c2410a"), HasSubstr("tag 2"));
  EXPECT_THAT(refusal(s_Time, "c16161"), HasSubstr("no number"));
  EXPECT_THAT(refusal(s_Time, "c1f6"), HasSubstr("no number"));
  EXPECT_THAT(refusal(s_Long, "c101"), HasSubstr("tag 1 where the model has none"));
}

TEST(Cbor, TellsBytesFromText) {
  EXPECT_EQ(read(s_Blob, "43666f6f").as_string(), "Zm9v");
  EXPECT_THAT(refusal(s_Blob, "63666f6f"), HasSubstr("text where the model has a byte string"));
  EXPECT_THAT(refusal(s_Text, "43666f6f"), HasSubstr("a byte string where the model has none"));
}

TEST(Cbor, RefusesGarbageByName) {
  EXPECT_THAT(refusal(s_All, "a0a0"), HasSubstr("1 bytes after the data item"));
  EXPECT_THAT(refusal(s_All, "a26474657874616164746578746162"), HasSubstr("the key 'text' twice"));
  EXPECT_THAT(refusal(s_All, "a10101"), HasSubstr("a key that is no text"));
  EXPECT_THAT(refusal(s_Text, "62c328"), HasSubstr("not UTF-8"));
  EXPECT_THAT(refusal(s_Text, "7f61614162ff"), HasSubstr("a part of another kind"));
  EXPECT_THAT(refusal(s_Text, "7f7f6161ffff"), HasSubstr("a part of another kind"));
  EXPECT_THAT(refusal(s_Long, "ff"), HasSubstr("a break outside"));
  EXPECT_THAT(refusal(s_Long, "1f"), HasSubstr("indefinite"));
  EXPECT_THAT(refusal(s_Long, "1c"), HasSubstr("reserved"));
  EXPECT_THAT(refusal(s_Long, "f8ff"), HasSubstr("unknown simple value"));
  for (auto hex : {"", "18", "62", "6261", "a1", "81", "9f", "bf", "7f6161", "bf6161", "a16474657874"})
    EXPECT_NE(refusal(s_All, hex), "accepted") << hex;
}

TEST(Cbor, DoesNotTrustLengths) {
  EXPECT_THAT(refusal(s_Text, "7bffffffffffffffff61"), HasSubstr("ends too early"));
  EXPECT_THAT(refusal(s_List, "9bffffffffffffffff"), HasSubstr("ends too early"));
  EXPECT_THAT(refusal(s_All, "bbffffffffffffffff"), HasSubstr("ends too early"));
}

TEST(Cbor, RefusesDeepNesting) {
  for (auto level : {"81", "9f", "a16161"}) {
    std::string hex;
    for (int i = 0; i < 100'000; ++i) hex += level;
    EXPECT_THAT(refusal(s_All, hex), HasSubstr("levels")) << level;
  }
}

TEST(Cbor, GivesBackWhatItWrote) {
  auto value = Json::object({{"text", "é"}, {"long", -70000}, {"double", 2.0}, {"bool", true}, {"time", 1363896240.5}, {"blob", "AAEC"},
                             {"times", Json::array({0.0, 12.25})}, {"blobs", Json::object({{"a", "Zm9v"}})}});
  auto written = write_cbor(s_All, value);
  auto back = read_cbor(s_All, written);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, value);
  EXPECT_EQ(write_cbor(s_Double, Json(3)), bytes("fb4008000000000000"));
  EXPECT_EQ(write_cbor(s_Time, Json(3)), bytes("c1fb4008000000000000"));
}

// Whatever bytes come: an answer, and what is accepted survives a round through the writer.
TEST(Cbor, SurvivesEveryChangeOfAByte) {
  auto good = write_cbor(s_All, Json::object({{"text", "some text"}, {"long", 123456}, {"double", 0.5}, {"time", 7.5}, {"blob", "AAEC"},
                                              {"times", Json::array({1.0, 2.0})}, {"blobs", Json::object({{"k", "Zm9v"}})}}));
  std::mt19937 random(1);
  for (int round = 0; round < 50'000; ++round) {
    auto bad = good;
    for (auto changes = 1 + random() % 4; changes > 0; --changes) bad[random() % bad.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bad.resize(random() % (bad.size() + 1));
    auto json = read_cbor(s_All, bad);
    if (!json) continue;
    auto again = read_cbor(s_All, write_cbor(s_All, *json));
    ASSERT_TRUE(again) << round << ": " << again.error().message << " " << json->dump();
  }
}

TEST(RpcPath, NamesServiceAndOperation) {
  auto path = rpc_path("/service/CodeDeploy_20141006/operation/GetDeployment");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->service, "CodeDeploy_20141006");
  EXPECT_EQ(path->operation, "GetDeployment");
  for (auto other : {"/", "/service", "/service/a/operation", "/service/a/operation/b/c", "/service/a/action/b", "x/service/a/operation/b"})
    EXPECT_FALSE(rpc_path(other)) << other;
}

constexpr Operation kOperation = {"Do", s_All, s_All, {.name = "", .all = true}, false, nullptr};

TEST(CborProtocol, WantsItsHeader) {
  net::Request request{.method = "POST", .path = "/service/x/operation/Do", .body = bytes("a0")};
  EXPECT_FALSE(read_request(Protocol::Cbor, kOperation, request));
  request.headers.add("smithy-protocol", "rpc-v2-cbor");
  EXPECT_TRUE(read_request(Protocol::Cbor, kOperation, request));
  request.body = "{}";
  EXPECT_EQ(read_request(Protocol::Cbor, kOperation, request).error().reason, "SerializationException");
}

TEST(CborProtocol, AnswersErrorsWithTheirShapesName) {
  static constexpr ModelError errors[] = {{"ResourceNotFoundException", "ResourceNotFound", 404}};
  static constexpr Protocol protocols[] = {Protocol::Json, Protocol::Query, Protocol::Cbor};
  static constexpr Service service = {.name = "things", .protocols = protocols, .errors = errors};
  Error error{Code::InvalidArgument, "gone", "ResourceNotFoundException"};
  auto response = write_error(Protocol::Cbor, to_wire(error, &service, Protocol::Cbor), "id", "application/cbor");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.headers.get("smithy-protocol"), "rpc-v2-cbor");
  EXPECT_EQ(response.headers.get("x-amzn-query-error"), "ResourceNotFound;Sender");
  auto body = read_cbor(s_All, response.body);
  ASSERT_TRUE(body);
  EXPECT_EQ(*body, Json::object({{"__type", "ResourceNotFoundException"}, {"message", "gone"}}));
  EXPECT_EQ(to_wire(error, &service, Protocol::Query).code, "ResourceNotFound");
}

}  // namespace
}  // namespace watari::aws
