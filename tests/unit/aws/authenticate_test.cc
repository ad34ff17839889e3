#include "aws/authenticate.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "aws/page.h"
#include "base/digest.h"
#include "net/sigv4.h"

namespace watari::aws {
namespace {

const Time kNow{Seconds(1'795'000'000)};
const Credentials kCredentials("AKIA1", "secret");

net::Request signed_request(net::AwsKey key = {"AKIA1", "secret"}, Time at = kNow) {
  net::Request request{.method = "POST", .path = "/", .body = "{}"};
  request.headers.add("host", "127.0.0.1:4566");
  request.headers.add("x-amz-target", "Service.Operation");
  net::sign(request, key, "eu-west-1", "ecs", at);
  return request;
}
std::string reason(const net::Request& request) {
  auto caller = authenticate(request, kCredentials, kNow);
  return caller ? "" : caller.error().reason;
}

TEST(Authenticate, KnowsTheRootUserByItsKey) {
  auto caller = authenticate(signed_request(), kCredentials, kNow);
  ASSERT_TRUE(caller) << caller.error().message;
  EXPECT_EQ(caller->principal.arn, "arn:aws:iam::123456789012:root");
  EXPECT_EQ(caller->region, "eu-west-1");
  EXPECT_EQ(caller->service, "ecs");
}

TEST(Authenticate, KnowsASessionUntilItEnds) {
  auto session = kCredentials.make_session({"123456789012", "AROA1:me", "arn:aws:sts::123456789012:assumed-role/deploy/me"}, kNow + Seconds(60));
  auto key = kCredentials.find_session(session.access_key_id, session.token, kNow);
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(key->secret, session.secret);
  EXPECT_EQ(key->principal.arn, "arn:aws:sts::123456789012:assumed-role/deploy/me");
  EXPECT_EQ(kCredentials.find_session(session.access_key_id, session.token, kNow + Seconds(60)).error().reason, "ExpiredToken");
  Credentials others("AKIA1", "another secret");
  EXPECT_EQ(others.find_session(session.access_key_id, session.token, kNow).error().reason, "InvalidClientTokenId");
}

TEST(Authenticate, RefusesWhatWasChangedAfterSigning) {
  auto body = signed_request();
  body.body = "{ }";
  EXPECT_EQ(reason(body), "SignatureDoesNotMatch");
  auto header = signed_request();
  header.headers.set("x-amz-target", "Service.Other");
  EXPECT_EQ(reason(header), "SignatureDoesNotMatch");
  auto added = signed_request();
  added.headers.add("x-amz-security-token", "x");
  EXPECT_EQ(reason(added), "SignatureDoesNotMatch");
  auto query = signed_request();
  query.query = "Action=Other";
  EXPECT_EQ(reason(query), "SignatureDoesNotMatch");
}

TEST(Authenticate, RefusesWrongKeysAndMissingOnes) {
  EXPECT_EQ(reason(signed_request({"AKIA1", "wrong"})), "SignatureDoesNotMatch");
  EXPECT_EQ(reason(signed_request({"AKIA2", "secret"})), "InvalidClientTokenId");
  EXPECT_EQ(reason(net::Request{.method = "POST", .path = "/"}), "MissingAuthenticationToken");
  auto garbled = signed_request();
  garbled.headers.set("authorization", "AWS4-HMAC-SHA256 Credential=AKIA1/x");
  EXPECT_EQ(reason(garbled), "IncompleteSignature");
}

TEST(Authenticate, AllowsFiveMinutesOfSkew) {
  EXPECT_EQ(reason(signed_request({"AKIA1", "secret"}, kNow - Seconds(299))), "");
  EXPECT_EQ(reason(signed_request({"AKIA1", "secret"}, kNow + Seconds(299))), "");
  EXPECT_EQ(reason(signed_request({"AKIA1", "secret"}, kNow - Seconds(301))), "RequestExpired");
  EXPECT_EQ(reason(signed_request({"AKIA1", "secret"}, kNow + Seconds(301))), "RequestExpired");
}

TEST(Authenticate, TakesPresignedRequestsUntilTheyExpire) {
  auto presigned = [](Time at) {
    net::Request request{.method = "GET", .path = "/"};
    request.headers.add("host", "127.0.0.1:4566");
    net::SigV4 covered{net::sigv4_timestamp(at), "eu-west-1", "sts", {"host"}, sha256_hex("")};
    request.query = "Action=GetCallerIdentity&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA1%2F" + covered.date() +
                    "%2Feu-west-1%2Fsts%2Faws4_request&X-Amz-Date=" + covered.timestamp + "&X-Amz-Expires=900&X-Amz-SignedHeaders=host";
    request.query += "&X-Amz-Signature=" + net::sigv4_signature("secret", net::canonical_request(request, covered), covered);
    return request;
  };
  EXPECT_EQ(reason(presigned(kNow - Seconds(899))), "");
  EXPECT_EQ(reason(presigned(kNow - Seconds(901))), "RequestExpired");
}

class CredentialsFile : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(::mkdtemp(root_)); }
  void TearDown() override { std::filesystem::remove_all(root_); }
  char root_[64] = "/tmp/watari-credentials-XXXXXX";
};

TEST_F(CredentialsFile, IsMadeOnceAndPrivate) {
  auto first = Credentials::open(root_);
  ASSERT_TRUE(first) << first.error().message;
  struct stat status{};
  ASSERT_EQ(::stat((std::string(root_) + "/credentials").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  auto second = Credentials::open(root_);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->access_key_id(), first->access_key_id());
  EXPECT_EQ(second->find(first->access_key_id())->secret, first->find(first->access_key_id())->secret);
  EXPECT_EQ(first->access_key_id().size(), 20u);
}

TEST_F(CredentialsFile, ThatIsDamagedIsNotReplaced) {
  std::ofstream(std::string(root_) + "/credentials") << "[default]\naws_access_key_id = A\n";
  auto credentials = Credentials::open(root_);
  ASSERT_FALSE(credentials);
  EXPECT_EQ(credentials.error().code, Code::Corrupt);
}

}  // namespace
}  // namespace watari::aws
