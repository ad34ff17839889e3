#include "net/websocket_serve.h"

#include <fcntl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>

namespace watari::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using boost::system::error_code;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kMaxMessage = 1024 * 1024;

// All but the two public functions run on the connection's strand.
class ServedSocket final : public WebSocket, public std::enable_shared_from_this<ServedSocket> {
 public:
  explicit ServedSocket(beast::tcp_stream& stream) : executor_(stream.get_executor()), ws_(stream) {
    ws_.set_option(websocket::stream_base::timeout::suggested(beast::role_type::server));  // pings a silent peer, ends without an answer
    ws_.read_message_max(kMaxMessage);
  }

  void send(std::string message, bool text) override {
    asio::post(executor_, [self = shared_from_this(), message = std::move(message), text]() mutable {
      if (!self->open_) return;
      self->queue_.emplace_back(std::move(message), text);
      self->write_next();
    });
  }
  void close() override {
    asio::post(executor_, [self = shared_from_this()] {
      self->closing_ = true;
      self->write_next();
    });
  }

  asio::awaitable<void> run(const http::request<http::empty_body>& upgrade, WebSocketEvents events) {
    auto [refused] = co_await ws_.async_accept(upgrade, kTuple);
    open_ = !refused;
    write_next();  // what was sent before
    beast::flat_buffer buffer;
    while (open_) {
      auto [error, count] = co_await ws_.async_read(buffer, kTuple);
      if (error) break;
      events.message(beast::buffers_to_string(buffer.data()));
      buffer.clear();
    }
    open_ = false;
    error_code ignored;
    beast::get_lowest_layer(ws_).socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
    events.closed();
    // The stream belongs to the connection: not before the last operation on it has come back.
    asio::steady_timer pause(executor_);
    while (writing_) {
      pause.expires_after(std::chrono::milliseconds(1));
      co_await pause.async_wait(kTuple);
    }
  }

 private:
  void write_next() {
    if (writing_ || !open_) return;
    if (queue_.empty()) {
      if (!closing_) return;
      writing_ = true;
      ws_.async_close(websocket::close_code::normal, [self = shared_from_this()](error_code) { self->writing_ = false; });
      return;
    }
    writing_ = true;
    current_ = std::move(queue_.front());
    queue_.pop_front();
    ws_.text(current_.second);
    ws_.async_write(asio::buffer(current_.first), [self = shared_from_this()](error_code error, std::size_t) {
      self->writing_ = false;
      if (!error) self->write_next();
    });
  }

  asio::any_io_executor executor_;
  websocket::stream<beast::tcp_stream&> ws_;
  std::deque<std::pair<std::string, bool>> queue_;
  std::pair<std::string, bool> current_;
  bool open_ = false, closing_ = false, writing_ = false;
};

}  // namespace

asio::awaitable<void> serve_websocket(int socket, const Request& upgrade, const WebSocketHandler& handler) {
  beast::tcp_stream stream(co_await asio::this_coro::executor);
  error_code error;
  stream.socket().assign(asio::ip::tcp::v4(), ::fcntl(socket, F_DUPFD_CLOEXEC, 0), error);
  if (error) co_return;
  auto served = std::make_shared<ServedSocket>(stream);
  auto events = handler(upgrade, served);
  if (events) {
    http::request<http::empty_body> request(http::verb::get, upgrade.target, 11);
    for (const auto& [name, value] : upgrade.headers.items()) request.insert(name, value);
    co_await served->run(request, *std::move(events));
    co_return;
  }
  http::response<http::string_body> refusal(http::status::forbidden, 11);
  refusal.set(http::field::content_type, "text/plain; charset=utf-8");
  refusal.body() = events.error().message + "\n";
  refusal.keep_alive(false);
  refusal.prepare_payload();
  co_await http::async_write(stream, refusal, kTuple);
}

}  // namespace watari::net
