// Plain HTTP to this machine, against a server that answers what the test says.
#include "net/plain_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace watari::net {
namespace {

// Takes one connection after the other; on each it reads a request and sends the next piece, then closes where the piece says so.
class Scripted {
 public:
  struct Answer {
    std::string bytes;
    bool close = false;
    bool unread = false;  // it answers without having read the body
  };
  explicit Scripted(std::vector<Answer> answers) : answers_(std::move(answers)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Scripted() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/"; }
  int connections() const { return connections_; }
  const std::string& bodies() const { return bodies_; }  // of what came with a Content-Length; when the last answer has come

 private:
  void serve() {
    int peer = -1;
    for (const auto& answer : answers_) {
      if (peer < 0) {
        peer = ::accept(listener_, nullptr, nullptr);
        if (peer < 0) return;
        ++connections_;
      }
      std::string request;
      char c;
      while (!request.ends_with("\r\n\r\n") && ::recv(peer, &c, 1, 0) == 1) request += c;
      const auto length = request.find("Content-Length: ");
      for (auto left = answer.unread || length == request.npos ? 0 : std::stol(request.substr(length + 16)); left > 0 && ::recv(peer, &c, 1, 0) == 1; --left) bodies_ += c;
      if (!answer.bytes.empty()) (void)!::send(peer, answer.bytes.data(), answer.bytes.size(), MSG_NOSIGNAL);
      if (answer.close) ::close(std::exchange(peer, -1));
    }
    if (peer >= 0) ::close(peer);
  }

  std::vector<Answer> answers_;
  std::string bodies_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_ = 0;
  std::thread thread_;
};

Result<Response> get(const std::string& url, Millis timeout = Millis(10'000)) { return fetch_plainly({.method = "GET", .target = url}, {.timeout = timeout}); }

TEST(PlainClient, KeepsAConnectionAndReadsEveryKindOfBody) {
  Scripted server({{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"},
                   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"},
                   {"HTTP/1.1 404 Not Found\r\nX-Why: none\r\n\r\nuntil the end", true}});
  EXPECT_EQ(get(server.url())->body, "ab");
  EXPECT_EQ(get(server.url())->body, "abcde");
  auto last = get(server.url());
  EXPECT_EQ(last->status, 404);
  EXPECT_EQ(last->body, "until the end");
  EXPECT_EQ(last->headers.get("x-why"), "none");
  EXPECT_EQ(server.connections(), 1);
}

TEST(PlainClient, ComesAgainWhenAKeptConnectionWasClosed) {
  Scripted server({{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"}, {"", true}, {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb"}});
  EXPECT_EQ(get(server.url())->body, "a");
  EXPECT_EQ(get(server.url())->body, "b");
  EXPECT_EQ(server.connections(), 2);
}

TEST(PlainClient, DoesNotAskTwiceOnceAnAnswerHasBegun) {
  Scripted server({{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"}, {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", true},
                   {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nc"}});
  EXPECT_EQ(get(server.url())->body, "a");
  EXPECT_EQ(get(server.url()).error().code, Code::Unavailable);
  EXPECT_EQ(get(server.url())->body, "c");
}

// A body that comes piece by piece: `count` times `piece`.
FetchOptions streamed(std::string piece, int count) {
  const auto size = static_cast<std::int64_t>(piece.size()) * count;
  return {.timeout = Millis(10'000), .body_source = [=]() mutable { return count-- > 0 ? piece : std::string(); }, .body_size = size};
}

TEST(PlainClient, StreamsABodyOnAConnectionThatNobodyUsedBefore) {
  Scripted server({{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", true}, {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb"}});
  EXPECT_EQ(get(server.url())->body, "a");
  EXPECT_EQ(fetch_plainly({.method = "POST", .target = server.url()}, streamed("abc", 3))->body, "b");
  EXPECT_EQ(server.bodies(), "abcabcabc");
  EXPECT_EQ(server.connections(), 2);
}

TEST(PlainClient, TellsTheAnswerOfAServerThatDoesNotReadTheWholeBody) {
  Scripted server({{"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", true, true}});
  auto refused = fetch_plainly({.method = "POST", .target = server.url()}, streamed(std::string(1 << 20, 'x'), 64));
  ASSERT_TRUE(refused.has_value()) << refused.error().message;
  EXPECT_EQ(refused->status, 403);
  EXPECT_EQ(refused->body, "no");
}

TEST(PlainClient, SaysWhatWentWrong) {
  std::string url;
  {
    Scripted gone({});
    url = gone.url();
  }
  auto refused = get(url);
  EXPECT_EQ(refused.error().code, Code::Unavailable);
  EXPECT_EQ(refused.error().reason, "refused");
  Scripted garbage({{"SSH-2.0-OpenSSH\r\n", true}});
  EXPECT_EQ(get(garbage.url()).error().code, Code::Unavailable);
}

TEST(PlainClient, TakesOnlyPlainHttpOfThisMachine) {
  for (const char* url : {"http://127.0.0.1:80/", "http://localhost/a", "http://[::1]:4566"}) EXPECT_TRUE(is_plain_and_local(url)) << url;
  for (const char* url : {"https://127.0.0.1/", "http://example.com/", "http://me@127.0.0.1/", "http://127.0.0.1:x/", ""}) EXPECT_FALSE(is_plain_and_local(url)) << url;
}

}  // namespace
}  // namespace watari::net
