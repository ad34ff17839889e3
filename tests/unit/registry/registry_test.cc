#include <gtest/gtest.h>

#include <random>

#include "oci/reference.h"
#include "registry/route.h"
#include "registry/token.h"
#include "registry/uploads.h"
#include "tests/support/temporary_directory.h"

namespace watari::registry {

TEST(RegistryRoute, ReadsNamesWithSlashesFromTheEnd) {
  struct Case {
    std::string path;
    Endpoint endpoint;
    std::string repository, last;
  };
  for (const auto& c : std::vector<Case>{
           {"/v2/", Endpoint::Base, "", ""},
           {"/v2", Endpoint::Base, "", ""},
           {"/v2/_catalog", Endpoint::Catalog, "", ""},
           {"/v2/a/b/c/tags/list", Endpoint::Tags, "a/b/c", ""},
           {"/v2/web/manifests/1.0", Endpoint::Manifest, "web", "1.0"},
           {"/v2/a/manifests/b/manifests/c", Endpoint::Manifest, "a/manifests/b", "c"},
           {"/v2/web/blobs/sha256:ab", Endpoint::Blob, "web", "sha256:ab"},
           {"/v2/web/blobs/sha256%3Aab", Endpoint::Blob, "web", "sha256:ab"},
           {"/v2/web/blobs/uploads/", Endpoint::StartUpload, "web", ""},
           {"/v2/web/blobs/uploads", Endpoint::StartUpload, "web", ""},
           {"/v2/web/blobs/uploads/1f", Endpoint::Upload, "web", "1f"},
           {"/v2/web/referrers/sha256:ab", Endpoint::Referrers, "web", "sha256:ab"},
       }) {
    auto route = parse_route(c.path);
    ASSERT_TRUE(route) << c.path;
    EXPECT_EQ(route->endpoint, c.endpoint) << c.path;
    EXPECT_EQ(route->repository, c.repository) << c.path;
    EXPECT_EQ(route->last, c.last) << c.path;
  }
  for (std::string path : {"/v1/", "/v2/web", "/v2/manifests/1", "/v2/web/other/1", "/v2//", "/v2/%zz/manifests/1"}) EXPECT_FALSE(parse_route(path)) << path;
}

TEST(RegistryRoute, AnswersAnyPathAndQuery) {
  std::mt19937 random(5);
  const std::string alphabet = "ab/%2fF.:_-?&=+\\ uploadsmanifests";
  for (int i = 0; i < 50'000; ++i) {
    std::string text = "/v2/";
    for (auto n = random() % 40; n > 0; --n) text += random() % 20 ? alphabet[random() % alphabet.size()] : static_cast<char>(random());
    (void)parse_route(text);
    (void)parse_query(text);
  }
}

TEST(RegistryToken, HoldsUntilItEndsAndOnlyWithTheKey) {
  std::string secret = "secret";
  const SecretOf secret_of = [&](std::string_view key) { return key == "AKIA" ? std::optional(secret) : std::nullopt; };
  const Time now{Millis(1'000'000)};
  const auto token = make_token("AKIA", secret, now + Seconds(60));
  EXPECT_TRUE(password_matches("AWS", token, secret_of, now));
  EXPECT_FALSE(password_matches("AWS", token, secret_of, now + Seconds(60)));
  EXPECT_TRUE(password_matches("AKIA", "secret", secret_of, now));
  EXPECT_FALSE(password_matches("AKIA", "secre", secret_of, now));
  EXPECT_FALSE(password_matches("AKIB", "secret", secret_of, now));
  for (std::size_t i = 0; i < token.size(); ++i) {
    auto forged = token;
    forged[i] = forged[i] == '1' ? '2' : '1';
    EXPECT_FALSE(password_matches("AWS", forged, secret_of, now)) << forged;
  }
  // Who it was made for cannot be changed, and a token that names nobody is the owner's.
  EXPECT_EQ(principal_of("AWS", token, secret_of, now), "");
  const auto role = make_token("AKIA", secret, now + Seconds(60), "arn:aws:sts::1:assumed-role/a/b");
  EXPECT_EQ(principal_of("AWS", role, secret_of, now), "arn:aws:sts::1:assumed-role/a/b");
  for (std::size_t i = 0; i < role.size(); ++i) {
    auto forged = role;
    forged[i] = forged[i] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(principal_of("AWS", forged, secret_of, now)) << forged;
  }
  const auto first = role.find('.', role.find('.') + 1), last = role.rfind('.');
  EXPECT_FALSE(principal_of("AWS", role.substr(0, first) + role.substr(last), secret_of, now));
  secret = "another";
  EXPECT_FALSE(password_matches("AWS", token, secret_of, now));
}

TEST(RegistryUploads, GoOnInAnotherProcess) {
  tests::TemporaryDirectory root;
  SystemClock clock;
  std::string id;
  {
    Uploads uploads(root.path(), clock);
    auto session = uploads.start("web").value();
    id = session->id();
    ASSERT_TRUE(session->append("first,"));
  }
  Uploads uploads(root.path(), clock);
  EXPECT_EQ(uploads.resume("other", id).error().code, Code::NotFound);
  EXPECT_EQ(uploads.resume("web", "../../etc").error().code, Code::NotFound);
  {
    auto session = uploads.resume("web", id).value();
    EXPECT_EQ(session->offset(), 6);
    ASSERT_TRUE(session->append("second"));
    EXPECT_EQ(session->digest().value(), "sha256:" + sha256_hex("first,second"));
  }
  auto session = uploads.resume("web", id).value();
  EXPECT_EQ(session->digest().value(), "sha256:" + sha256_hex("first,second"));
}

TEST(RegistryUploads, ExpireWhenNobodyWritesToThem) {
  tests::TemporaryDirectory root;
  ManualClock clock(SystemClock().now());
  Uploads uploads(root.path(), clock);
  auto id = uploads.start("web").value()->id();
  clock.advance(Seconds(50));
  uploads.expire(Seconds(60));
  EXPECT_TRUE(uploads.resume("web", id));
  clock.advance(Seconds(50));
  uploads.expire(Seconds(60));
  EXPECT_EQ(uploads.resume("web", id).error().code, Code::NotFound);
}

}  // namespace watari::registry
