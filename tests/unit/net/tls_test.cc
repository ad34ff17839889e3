// HTTPS on the server's port, and the authority behind it.
#include "net/tls.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "net/client.h"
#include "tests/support/temporary_directory.h"

namespace watari::net {
namespace {

using tests::TemporaryDirectory;

namespace fs = std::filesystem;

std::string text_of(const fs::path& file) {
  std::stringstream out;
  out << std::ifstream(file).rdbuf();
  return out.str();
}

class TlsTest : public ::testing::Test {
 protected:
  void serve(ServerOptions options = {}) {
    auto authority = Authority::open(directory_.path(), clock_.now());
    ASSERT_TRUE(authority) << authority.error().message;
    authority_ = std::move(*authority);
    auto certificates = TlsCertificates::make({authority_.get(), &clock_, {"localhost", "127.0.0.1"}});
    ASSERT_TRUE(certificates) << certificates.error().message;
    options.certificates = *certificates;
    auto made = Server::listen(options);
    ASSERT_TRUE(made) << made.error().message;
    server_ = std::move(*made);
    server_->route("/", [](Request request, Reply reply) { reply({.body = request.remote + " " + request.body}); });
    server_->route_stream("/count", [](const Request&, BodyReader& body, ResponseWriter& out) {
      std::vector<char> piece(65536);
      std::size_t total = 0;
      for (auto count = body.read(piece); count && *count > 0; count = body.read(piece)) total += *count;
      (void)out.send({.body = std::to_string(total)});
    });
    server_->route_stream("/zeros", [](const Request&, BodyReader&, ResponseWriter& out) {
      if (!out.start({})) return;
      for (int i = 0; i < 32; ++i)
        if (!out.write(std::string(1 << 20, '0'))) return;
    });
    server_->start();
  }
  void TearDown() override {
    if (server_) server_->stop();
  }
  Result<Response> get(const std::string& scheme, const std::string& host, const std::string& path = "/", FetchOptions options = {}) {
    if (options.ca_file.empty()) options.ca_file = directory_.path() / "ca.pem";
    return fetch({.method = "GET", .target = fmt::format("{}://{}:{}{}", scheme, host, server_->port(), path)}, options);
  }

  SystemClock clock_;
  TemporaryDirectory directory_;
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<Server> server_;
};

TEST_F(TlsTest, OnePortSpeaksBothPlainAndEncrypted) {
  serve();
  for (const char* scheme : {"http", "https"})
    for (const char* host : {"127.0.0.1", "localhost"}) {
      auto got = get(scheme, host);
      ASSERT_TRUE(got) << scheme << " " << host << ": " << got.error().message;
      EXPECT_TRUE(got->body.starts_with("127.0.0.1:")) << got->body;  // the client's address, also through TLS
    }
}

TEST_F(TlsTest, ANameBelowLocalhostHasACertificateOfItsOwn) {
  serve();
  auto got = get("https", "web.localhost");
  ASSERT_TRUE(got) << got.error().message;
}

TEST_F(TlsTest, AClientThatDoesNotTrustTheAuthorityIsNotAnswered) {
  serve();
  TemporaryDirectory other;
  ASSERT_TRUE(Authority::open(other.path(), clock_.now()));
  auto got = get("https", "127.0.0.1", "/", {.ca_file = other.path() / "ca.pem"});
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message.find("certificate"), std::string::npos) << got.error().message;
}

TEST_F(TlsTest, LargeBodiesPassBothWays) {
  serve();
  std::size_t received = 0;
  auto down = get("https", "127.0.0.1", "/zeros", {.on_body = [&](std::string_view piece) {
                    received += piece.size();
                    return true;
                  }});
  ASSERT_TRUE(down) << down.error().message;
  EXPECT_EQ(received, 32u << 20);
  auto up = fetch({.method = "POST", .target = fmt::format("https://127.0.0.1:{}/count", server_->port()), .body = std::string(32 << 20, 'x')},
                  {.ca_file = directory_.path() / "ca.pem"});
  ASSERT_TRUE(up) << up.error().message;
  EXPECT_EQ(up->body, std::to_string(32 << 20));
}

TEST_F(TlsTest, SeveralAddressesServeTheSameRoutes) {
  serve();
  TearDown();
  auto certificates = TlsCertificates::make({authority_.get(), &clock_, {"127.0.0.1"}});
  auto made = Server::listen({.certificates = *certificates});
  ASSERT_TRUE(made);
  server_ = std::move(*made);
  auto second = server_->also_listen("127.0.0.1", 0, "--https-listen");
  ASSERT_TRUE(second) << second.error().message;
  auto taken = server_->also_listen("127.0.0.1", *second, "--https-listen");
  ASSERT_FALSE(taken);
  EXPECT_NE(taken.error().message.find("--https-listen"), std::string::npos);
}

TEST(Authority, IsMadeOnceAndItsKeyIsItsOwnersOnly) {
  TemporaryDirectory directory;
  SystemClock clock;
  ASSERT_TRUE(Authority::open(directory.path(), clock.now()));
  auto first = text_of(directory.path() / "ca.pem");
  auto again = Authority::open(directory.path(), clock.now());
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->certificate(), first);
  struct stat status{};
  ASSERT_EQ(::stat((directory.path() / "ca.key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST(Authority, GoesOnWithTheKeyThatACrashLeft) {
  TemporaryDirectory directory;
  SystemClock clock;
  ASSERT_TRUE(Authority::open(directory.path(), clock.now()));
  auto key = text_of(directory.path() / "ca.key");
  fs::remove(directory.path() / "ca.pem");
  ASSERT_TRUE(Authority::open(directory.path(), clock.now()));
  EXPECT_EQ(text_of(directory.path() / "ca.key"), key);
}

TEST(Authority, TellsAKeyThatIsGoneOrAnothers) {
  TemporaryDirectory one, two;
  SystemClock clock;
  ASSERT_TRUE(Authority::open(one.path(), clock.now()));
  ASSERT_TRUE(Authority::open(two.path(), clock.now()));
  fs::copy_file(two.path() / "ca.key", one.path() / "ca.key", fs::copy_options::overwrite_existing);
  EXPECT_EQ(Authority::open(one.path(), clock.now()).error().code, Code::Corrupt);
  fs::remove(one.path() / "ca.key");
  EXPECT_EQ(Authority::open(one.path(), clock.now()).error().code, Code::Corrupt);
}

TEST(Authority, RefusesNamesThatCouldSaySomethingElseInACertificate) {
  TemporaryDirectory directory;
  SystemClock clock;
  auto authority = Authority::open(directory.path(), clock.now());
  ASSERT_TRUE(authority);
  for (const char* name : {"", "a,DNS:b", "a b", "a\nb", "*", "a/b"}) EXPECT_FALSE((*authority)->issue({name}, clock.now())) << name;
  EXPECT_TRUE((*authority)->issue({"*.example.com", "::1", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"}, clock.now()));
}

TEST(TlsNames, AreThoseOfThisHostAndOfAws) {
  for (const char* name : {"localhost", "a.localhost", "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "ecs.cn-north-1.amazonaws.com.cn"})
    EXPECT_TRUE(serves_name(name)) << name;
  for (const char* name : {"", "example.com", "amazonaws.com.example.com", "a b.localhost", ".localhost"}) EXPECT_FALSE(serves_name(name)) << name;
}

}  // namespace
}  // namespace watari::net
