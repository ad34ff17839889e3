#include "net/sigv4.h"

#include <gtest/gtest.h>

#include "base/digest.h"

// Source: the AWS SigV4 test suite (aws-sig-v4-test-suite, 2015-08-30) and the worked example of the documentation.
namespace watari::net {
namespace {

const AwsKey kKey{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"};

Request request_to(std::string path, std::string query) {
  Request request{.method = "GET", .target = path + "?" + query, .path = path, .query = query};
  request.headers.add("Host", "example.amazonaws.com");
  request.headers.add("X-Amz-Date", "20150830T123600Z");
  return request;
}

std::string signature_of(const Request& request, std::vector<std::string> headers = {"host", "x-amz-date"}) {
  SigV4 covered{"20150830T123600Z", "us-east-1", "service", std::move(headers), sha256_hex(request.body)};
  return sigv4_signature(kKey.secret, canonical_request(request, covered), covered);
}

TEST(SigV4, SignsGetVanillaAsAwsDoes) {
  EXPECT_EQ(signature_of(request_to("/", "")), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

TEST(SigV4, SortsQueryParametersByName) {
  EXPECT_EQ(signature_of(request_to("/", "Param2=value2&Param1=value1")),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

TEST(SigV4, SignsPostVanillaAsAwsDoes) {
  auto request = request_to("/", "");
  request.method = "POST";
  EXPECT_EQ(signature_of(request), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

TEST(SigV4, FoldsSpacesInHeaderValues) {
  auto request = request_to("/", "");
  request.headers.add("My-Header1", " value1");
  request.headers.add("My-Header2", " \"a   b   c\"");
  EXPECT_EQ(signature_of(request, {"host", "my-header1", "my-header2", "x-amz-date"}),
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
}

TEST(SigV4, NormalizesDotSegmentsAndRepeatedSlashes) {
  auto plain = signature_of(request_to("/", ""));
  EXPECT_EQ(signature_of(request_to("/foo/..", "")), plain);
  EXPECT_EQ(signature_of(request_to("//", "")), plain);
  EXPECT_EQ(signature_of(request_to("/./", "")), plain);
}

TEST(SigV4, SignsTheDocumentationsListUsersExample) {
  Request request{.method = "GET", .path = "/", .query = "Action=ListUsers&Version=2010-05-08"};
  request.headers.add("host", "iam.amazonaws.com");
  request.headers.add("content-type", "application/x-www-form-urlencoded; charset=utf-8");
  sign(request, kKey, "us-east-1", "iam", Time(Seconds(1440938160)));
  EXPECT_EQ(request.headers.get("x-amz-date"), "20150830T123600Z");
  EXPECT_EQ(request.headers.get("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, "
            "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

TEST(SigV4, SigningAgainReplacesTheOldSignature) {
  auto request = request_to("/", "");
  sign(request, kKey, "us-east-1", "service", Time(Seconds(1440938160)));
  auto first = std::string(request.headers.get("authorization"));
  sign(request, kKey, "us-east-1", "service", Time(Seconds(1440938160)));
  EXPECT_EQ(request.headers.get("authorization"), first);
}

TEST(Query, DecodesPercentEncodingAndKeepsWhatIsNone) {
  auto pairs = parse_query("a=1%202&b&c=%zz&d=x+y", false);
  ASSERT_EQ(pairs.size(), 4u);
  EXPECT_EQ(pairs[0].second, "1 2");
  EXPECT_EQ(pairs[1], (std::pair<std::string, std::string>("b", "")));
  EXPECT_EQ(pairs[2].second, "%zz");
  EXPECT_EQ(pairs[3].second, "x+y");
  EXPECT_EQ(parse_query("d=x+y", true)[0].second, "x y");
}

}  // namespace
}  // namespace watari::net
