// The server and the client over real sockets on 127.0.0.1.
#include "net/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "net/client.h"

#if defined(__SANITIZE_ADDRESS__)
#define WATARI_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATARI_TEST_ASAN 1
#endif
#endif
#ifndef WATARI_TEST_ASAN
#define WATARI_TEST_ASAN 0
#endif

namespace watari::net {
namespace {

// A raw connection, for what no proper client sends.
class Raw {
 public:
  explicit Raw(std::uint16_t port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval limit{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) ADD_FAILURE() << "connect";
  }
  ~Raw() { ::close(fd_); }
  void send(std::string_view text) { ASSERT_EQ(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL), ssize_t(text.size())); }
  std::string until(std::string_view end) {
    std::string got;
    char c;
    while (!got.ends_with(end) && ::recv(fd_, &c, 1, 0) == 1) got += c;
    return got;
  }
  std::string all() {
    std::string got;
    char piece[4096];
    for (ssize_t n; (n = ::recv(fd_, piece, sizeof piece, 0)) > 0;) got.append(piece, size_t(n));
    return got;
  }

 private:
  int fd_;
};

class ServerTest : public ::testing::Test {
 protected:
  void serve(ServerOptions options = {}) {
    auto made = Server::listen(options);
    ASSERT_TRUE(made) << made.error().message;
    server_ = std::move(*made);
    server_->route("/", [](Request request, Reply reply) {
      Response response{.body = request.method + " " + request.path + "?" + request.query + " " + request.body};
      reply(std::move(response));
    });
    server_->route("/late", [this](Request, Reply reply) {
      late_ = std::thread([reply = std::move(reply)]() mutable {
        std::this_thread::sleep_for(Millis(50));
        reply({.status = 202, .body = "late"});
      });
    });
    server_->route("/dropped", [](Request, Reply) {});
    server_->route("/throws", [](Request, Reply) { throw std::runtime_error("bug"); });
    server_->route_stream("/count", [](const Request&, BodyReader& body, ResponseWriter& out) {
      std::vector<char> piece(65536);
      std::size_t total = 0;
      while (true) {
        auto count = body.read(piece);
        if (!count || *count == 0) break;
        total += *count;
      }
      (void)out.send({.body = std::to_string(total)});
    });
    server_->route_stream("/zeros", [](const Request& request, BodyReader&, ResponseWriter& out) {
      auto megabytes = std::stoul(request.query);
      Response head;
      if (request.headers.get("x-length") == "yes") head.headers.set("content-length", std::to_string(megabytes << 20));
      std::string piece(1 << 20, '0');
      if (!out.start(head)) return;
      for (std::size_t i = 0; i < megabytes; ++i)
        if (!out.write(piece)) return;
    });
    server_->route_stream("/refuse", [](const Request&, BodyReader&, ResponseWriter& out) {
      (void)out.send({.status = 403, .body = "no"});
    });
    server_->start();
    base_ = "http://127.0.0.1:" + std::to_string(server_->port());
  }
  void TearDown() override {
    if (server_) server_->stop();
    if (late_.joinable()) late_.join();
  }
  Result<Response> get(std::string path) { return fetch({.method = "GET", .target = base_ + path}); }

  std::unique_ptr<Server> server_;
  std::string base_;
  std::thread late_;
};

TEST_F(ServerTest, AnswersWithMethodPathQueryAndBody) {
  serve();
  auto got = fetch({.method = "POST", .target = base_ + "/a%20b?c=d", .body = "hello"});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->status, 200);
  EXPECT_EQ(got->body, "POST /a%20b?c=d hello");
  EXPECT_TRUE(got->headers.find("Date"));
}

TEST_F(ServerTest, RoutesByTheLongestPrefixOfWholeSegments) {
  serve();
  EXPECT_EQ(get("/late/x")->status, 202);
  EXPECT_EQ(get("/laterx")->body, "GET /laterx? ");
}

TEST_F(ServerTest, AnswersOnceWhenAHandlerDropsItsReplyOrThrows) {
  serve();
  EXPECT_EQ(get("/dropped")->status, 500);
  EXPECT_EQ(get("/throws")->status, 500);
  EXPECT_EQ(get("/fine")->status, 200);
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  serve();
  Raw raw(server_->port());
  raw.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\nPOST /two HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
           "GET /three HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  auto all = raw.all();
  auto one = all.find("late"), two = all.find("POST /two? hi"), three = all.find("GET /three? ");
  ASSERT_NE(three, std::string::npos) << all;
  EXPECT_LT(one, two);
  EXPECT_LT(two, three);
}

TEST_F(ServerTest, TakesChunkedBodies) {
  serve();
  Raw raw(server_->port());
  raw.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_TRUE(raw.all().ends_with("POST /? abcde"));
}

TEST_F(ServerTest, AnswersHeadWithoutABodyAndKeepsTheConnection) {
  serve();
  Raw raw(server_->port());
  raw.send("HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(raw.until("\r\n\r\n").find("Content-Length: 9"), std::string::npos);
  raw.send("HEAD /zeros?1 HTTP/1.1\r\nHost: x\r\nx-length: yes\r\n\r\n");
  EXPECT_NE(raw.until("\r\n\r\n").find("content-length: 1048576"), std::string::npos);
  raw.send("GET /y HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(raw.all().ends_with("GET /y? "));
}

TEST_F(ServerTest, SendsContinueOnlyWhenTheBodyIsWanted) {
  serve();
  Raw plain(server_->port());
  plain.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(plain.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  plain.send("ok");
  EXPECT_TRUE(plain.all().ends_with("POST /? ok"));
  Raw streamed(server_->port());
  streamed.send("PUT /refuse HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_TRUE(streamed.all().starts_with("HTTP/1.1 403"));
}

TEST_F(ServerTest, RefusesWhatIsTooLargeAndWhatIsNoHttp) {
  serve({.max_body = 1000, .max_header = 2000});
  EXPECT_EQ(fetch({.method = "POST", .target = base_ + "/", .body = std::string(1001, 'x')})->status, 413);
  EXPECT_EQ(fetch({.method = "POST", .target = base_ + "/", .body = std::string(1000, 'x')})->status, 200);
  Raw chunked(server_->port());
  chunked.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + std::string(1024, 'x') + "\r\n0\r\n\r\n");
  EXPECT_TRUE(chunked.all().starts_with("HTTP/1.1 413"));
  Raw header(server_->port());
  header.send("GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + std::string(3000, 'x') + "\r\n\r\n");
  EXPECT_TRUE(header.all().starts_with("HTTP/1.1 431"));
  Raw garbage(server_->port());
  garbage.send("\x16\x03\x01 what\r\n\r\n");
  EXPECT_TRUE(garbage.all().starts_with("HTTP/1.1 400"));
  Raw both(server_->port());
  both.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  EXPECT_TRUE(both.all().starts_with("HTTP/1.1 400"));
}

TEST_F(ServerTest, ClosesConnectionsThatSendTooSlowlyOrNothing) {
  serve({.header_time = Millis(200), .body_time = Millis(200), .idle_time = Millis(300)});
  Raw idle(server_->port()), header(server_->port()), body(server_->port());
  header.send("GET / HT");
  body.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123");
  EXPECT_EQ(header.all(), "");
  EXPECT_EQ(body.all(), "");
  EXPECT_EQ(idle.all(), "");
}

[[maybe_unused]] std::size_t resident_kib() {
  std::size_t pages = 0, resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (std::fscanf(file, "%zu %zu", &pages, &resident) != 2) resident = 0;
  std::fclose(file);
  return resident * 4;
}

TEST_F(ServerTest, StreamsLargeBodiesBothWaysInFlatMemory) {
  serve();
  [[maybe_unused]] auto before = resident_kib();
  std::size_t pieces = 200;
  FetchOptions up{.body_source = [&] { return pieces-- > 0 ? std::string(1 << 20, 'x') : std::string(); },
                  .body_size = 200 << 20};
  auto counted = fetch({.method = "PUT", .target = base_ + "/count"}, up);
  ASSERT_TRUE(counted) << counted.error().message;
  EXPECT_EQ(counted->body, std::to_string(200 << 20));

  for (auto length : {"yes", "no"}) {
    std::size_t received = 0;
    FetchOptions down{.on_body = [&](std::string_view bytes) { return received += bytes.size(), true; }};
    Request request{.method = "GET", .target = base_ + "/zeros?200"};
    request.headers.set("x-length", length);
    ASSERT_TRUE(fetch(request, down));
    EXPECT_EQ(received, std::size_t(200 << 20));
  }
#if !WATARI_TEST_ASAN
  EXPECT_LT(resident_kib(), before + 32 * 1024);  // a sanitizer keeps freed memory for a while
#endif
}

TEST_F(ServerTest, SendsChunksWhenABodyHasNoKnownLength) {
  serve();
  std::size_t pieces = 3;
  FetchOptions up{.body_source = [&] { return pieces-- > 0 ? std::string("abc") : std::string(); }};
  EXPECT_EQ(fetch({.method = "PUT", .target = base_ + "/count"}, up)->body, "9");
}

TEST_F(ServerTest, StopsWhileAStreamIsRunning) {
  serve();
  std::atomic<bool> stopped = false;
  std::size_t received = 0;
  std::thread stopper;
  FetchOptions down{.on_body = [&](std::string_view bytes) {
    if (received == 0) stopper = std::thread([&] { server_->stop(), stopped = true; });
    received += bytes.size();
    std::this_thread::sleep_for(Millis(10));
    return true;
  }};
  auto got = fetch({.method = "GET", .target = base_ + "/zeros?20000"}, down);
  EXPECT_FALSE(got);
  stopper.join();
  EXPECT_TRUE(stopped);
}

TEST_F(ServerTest, LetsARunningRequestFinishWhenItStops) {
  serve();
  std::thread stopper([&] {
    std::this_thread::sleep_for(Millis(20));
    server_->stop();
  });
  auto got = get("/late");
  stopper.join();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->body, "late");
}

TEST_F(ServerTest, NamesTheHolderOfATakenPort) {
  serve();
  auto second = Server::listen({.port = server_->port()});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::Unavailable);
  EXPECT_NE(second.error().message.find("is taken by test_net (pid "), std::string::npos) << second.error().message;
  EXPECT_FALSE(Server::listen({.address = "example"}));
}

TEST(Client, SaysThatNothingListens) {
  auto server = Server::listen({});
  auto url = "http://127.0.0.1:" + std::to_string((*server)->port());
  server->reset();
  auto got = fetch({.method = "GET", .target = url});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::Unavailable);
}

TEST(Headers, CompareNamesWithoutCaseAndKeepTheirOrder) {
  Headers headers;
  headers.add("Set-Cookie", "a");
  headers.add("set-cookie", "b");
  EXPECT_EQ(headers.get("SET-COOKIE"), "a");
  headers.set("Set-cookie", "c");
  ASSERT_EQ(headers.items().size(), 1u);
  EXPECT_EQ(headers.items()[0].second, "c");
}

}  // namespace
}  // namespace watari::net
