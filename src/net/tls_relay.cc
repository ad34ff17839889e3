// The TLS end of a connection: decrypts into a socket pair, at whose other end a plain Connection serves. One copy more than TLS inside of
// Connection would need, and in exchange streaming handlers, time limits and cutting off work on sockets only, the same for both.
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <cerrno>
#include <optional>

#include "base/log.h"
#include "net/tls.h"

namespace watari::net {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using Inner = asio::local::stream_protocol::socket;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kPiece = 64 * 1024;
constexpr unsigned char kTlsHandshake = 22;  // the first byte of a TLS connection; no HTTP request begins so (RFC 8446 section 5.1)
constexpr Seconds kGoodbye{2};

// Lives as long as its coroutines; everything but nudge() and cut() runs on its strand.
class TlsRelay final : public Connection {
 public:
  static void start(int socket, std::shared_ptr<Shared> shared) {
    auto executor = asio::make_strand(*shared->io);
    auto protocol = is_ipv6(socket) ? tcp::v6() : tcp::v4();
    live(executor, shared, std::make_shared<TlsRelay>(tcp::socket(executor, protocol, socket), shared));
  }

  TlsRelay(tcp::socket socket, std::shared_ptr<Shared> shared)
      : shared_(std::move(shared)), context_(lend(*shared_->options.certificates)), outer_(std::move(socket), context_),
        inner_(outer_.get_executor()), timer_(outer_.get_executor()), encrypted_(outer_.get_executor()), fd_(outer_.next_layer().native_handle()) {
    encrypted_.expires_at(asio::steady_timer::time_point::max());
  }

  // A connection that has said nothing yet is idle; the inner one is told by itself, and this ends with it.
  void nudge() override {
    asio::post(outer_.get_executor(), [self = shared_from_this(), this] {
      if (!relaying_) cut();
    });
  }
  void cut() override { ::shutdown(fd_, SHUT_RDWR); }

  awaitable<void> run() override {
    auto first = co_await first_byte();
    if (!first) co_return;
    if (*first != kTlsHandshake) {
      fd_ = -1;  // it is another's from now on
      Connection::start(outer_.next_layer().release(), shared_);
      co_return;
    }
    error_code ignored;
    outer_.next_layer().set_option(tcp::no_delay(true), ignored);
    limit(shared_->options.header_time);
    auto [error] = co_await outer_.async_handshake(ssl::stream_base::server, kTuple);
    timer_.cancel();
    if (error) {
      log::debug("TLS handshake with {}: {}", peer(), error.message());
      co_return;
    }
    if (!open_inner()) co_return;
    asio::co_spawn(outer_.get_executor(), [self = shared_from_this(), this] { return encrypt(); }, asio::detached);
    co_await decrypt();
    // What is still to be sent goes out; encrypt() ends with the inner connection.
    co_await encrypted_.async_wait(kTuple);
  }

 private:
  // The context belongs to the certificates; Asio's wrapper frees what it is given.
  static ssl::context lend(TlsCertificates& certificates) {
    auto* native = static_cast<SSL_CTX*>(certificates.native());
    SSL_CTX_up_ref(native);
    return ssl::context(native);
  }

  std::string peer() {
    error_code ignored;
    auto end = outer_.next_layer().remote_endpoint(ignored);
    auto host = end.address().to_string();
    return (end.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(end.port());
  }

  // Closes the client's side when the time is over.
  void limit(Millis time) {
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this(), this](error_code cancelled) {
      if (!cancelled) cut();
    });
  }

  // Left where it is; nothing when the client goes away or says nothing. A wait may end with nothing to read.
  awaitable<std::optional<unsigned char>> first_byte() {
    limit(shared_->options.idle_time);
    std::optional<unsigned char> first;
    while (!first && !shared_->stopping) {
      auto [error] = co_await outer_.next_layer().async_wait(tcp::socket::wait_read, kTuple);
      unsigned char byte = 0;
      auto count = error ? 0 : ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (count > 0) first = byte;
      else if (count == 0 || (errno != EAGAIN && errno != EINTR)) break;
    }
    timer_.cancel();
    co_return first;
  }

  bool open_inner() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return false;
    inner_.assign(asio::local::stream_protocol(), ends[0]);
    relaying_ = true;
    Connection::start(ends[1], shared_, peer());
    return true;
  }

  // Client to server. The client's end of sending is the inner connection's end of reading.
  awaitable<void> decrypt() {
    std::vector<char> piece(kPiece);
    for (;;) {
      auto [error, count] = co_await outer_.async_read_some(asio::buffer(piece), kTuple);
      if (error) break;
      auto [failed, written] = co_await asio::async_write(inner_, asio::buffer(piece.data(), count), kTuple);
      if (failed) break;
    }
    error_code ignored;
    inner_.shutdown(Inner::shutdown_send, ignored);
  }

  // Server to client; when the server has ended, says so and closes.
  awaitable<void> encrypt() {
    std::vector<char> piece(kPiece);
    for (;;) {
      auto [error, count] = co_await inner_.async_read_some(asio::buffer(piece), kTuple);
      if (error) break;
      limit(shared_->options.body_time);
      auto [failed, written] = co_await asio::async_write(outer_, asio::buffer(piece.data(), count), kTuple);
      timer_.cancel();
      if (failed) break;
    }
    limit(shared_->stopping ? Millis(100) : Millis(kGoodbye));
    (void)co_await outer_.async_shutdown(kTuple);
    timer_.cancel();
    error_code ignored;
    inner_.shutdown(Inner::shutdown_both, ignored);
    cut();
    encrypted_.expires_at(asio::steady_timer::time_point::min());
  }

  std::shared_ptr<Shared> shared_;
  ssl::context context_;
  ssl::stream<tcp::socket> outer_;
  Inner inner_;
  asio::steady_timer timer_;      // of limit()
  asio::steady_timer encrypted_;  // expires when encrypt() has ended
  std::atomic<int> fd_;           // the client's socket, open until the destructor
  bool relaying_ = false;
};

}  // namespace

void start_sniffed(int socket, std::shared_ptr<Shared> shared) {
  TlsRelay::start(socket, std::move(shared));
}

}  // namespace watari::net
