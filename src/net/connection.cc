#include "net/connection.h"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <optional>
#include <system_error>
#include <thread>

#include "base/log.h"
#include "net/answer.h"
#include "net/exchange.h"
#include "net/pending_reply.h"
#include "net/websocket_serve.h"

namespace watari::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using asio::awaitable;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

template <class Map>
const typename Map::mapped_type* find_route(const Map& routes, std::string_view path, std::size_t& length) {
  const typename Map::mapped_type* best = nullptr;
  for (const auto& [prefix, handler] : routes) {
    bool matches = path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
    if (!matches || (best && prefix.size() < length)) continue;
    best = &handler;
    length = prefix.size();
  }
  return best;
}

template <class Body>
Request request_of(const http::request<Body>& in, std::string remote) {
  Request out;
  out.method = in.method_string();
  out.target = in.target();
  std::string_view target = out.target;
  if (target.starts_with("http://")) {  // absolute form, as sent to proxies (RFC 9112 section 3.2.2)
    auto slash = target.find('/', 7);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  auto mark = target.find('?');
  out.path = target.substr(0, mark);
  if (mark != std::string_view::npos) out.query = target.substr(mark + 1);
  for (const auto& field : in) out.headers.add(std::string(field.name_string()), std::string(field.value()));
  out.remote = std::move(remote);
  return out;
}

// One of the server's places for streamed exchanges, as long as it lives; not taken when there was none.
class StreamSlot {
 public:
  explicit StreamSlot(Shared& shared) : shared_(shared) {
    std::lock_guard lock(shared_.mutex);
    taken_ = shared_.running_streams < shared_.options.max_streams;
    if (taken_) ++shared_.running_streams;
  }
  ~StreamSlot() {
    std::lock_guard lock(shared_.mutex);
    if (taken_) --shared_.running_streams;
  }
  StreamSlot(const StreamSlot&) = delete;
  StreamSlot& operator=(const StreamSlot&) = delete;
  bool taken() const { return taken_; }

 private:
  Shared& shared_;
  bool taken_ = false;
};

class ConnectionImpl final : public Connection {
 public:
  ConnectionImpl(asio::ip::tcp::socket socket, std::shared_ptr<Shared> shared, std::string remote)
      : stream_(std::move(socket)), shared_(std::move(shared)), options_(shared_->options), remote_(std::move(remote)), secure_(!remote_.empty()) {
    if (secure_) return;
    error_code ignored;
    stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    auto peer = stream_.socket().remote_endpoint(ignored);
    remote_ = (peer.address().is_v6() ? "[" + peer.address().to_string() + "]" : peer.address().to_string()) + ":" +
              std::to_string(peer.port());
  }

  void nudge() override {
    asio::post(stream_.get_executor(), [self = shared_from_this(), this] {
      if (idle_) stream_.cancel();
    });
  }

  void cut() override {
    ::shutdown(fd(), SHUT_RDWR);  // also wakes a streaming handler's poll
    std::shared_ptr<PendingReply> waiting;
    {
      std::lock_guard lock(waiting_mutex_);
      waiting = waiting_;
    }
    if (waiting) waiting->answer(plain_text(503, "the server is stopping"));
  }

  awaitable<void> run() override {
    bool keep = true;
    while (keep && !shared_->stopping) keep = co_await serve_one();
    if (linger_) co_await linger();
    error_code ignored;
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  }

 private:
  int fd() { return stream_.socket().native_handle(); }

  awaitable<bool> serve_one() {
    if (buffer_.size() == 0 && !co_await wait_for_request()) co_return false;
    http::request_parser<http::empty_body> head;
    head.header_limit(static_cast<std::uint32_t>(options_.max_header));
    head.body_limit(boost::none);
    stream_.expires_after(options_.header_time);
    auto [error, count] = co_await http::async_read_header(stream_, buffer_, head, kTuple);
    if (error) co_return co_await refuse_header(error);

    auto request = request_of(head.get(), remote_);
    request.secure = secure_;
    if (boost::beast::websocket::is_upgrade(head.get())) {
      std::size_t length = 0;
      if (auto handler = find_route(shared_->websockets, request.path, length)) {
        stream_.expires_never();  // the WebSocket has timers of its own
        co_await serve_websocket(fd(), request, *handler);
        co_return false;
      }
    }
    std::size_t plain_length = 0, stream_length = 0;
    auto plain = find_route(shared_->plain, request.path, plain_length);
    auto streaming = find_route(shared_->streams, request.path, stream_length);
    if (streaming && (!plain || stream_length >= plain_length))
      co_return co_await serve_streaming(head, std::move(request), *streaming);
    co_return co_await serve_plain(head, std::move(request), plain);
  }

  // Waits for the first byte of a next request; false when none came.
  awaitable<bool> wait_for_request() {
    stream_.expires_after(options_.idle_time);
    idle_ = true;
    auto [error, count] = co_await stream_.async_read_some(buffer_.prepare(8192), kTuple);
    idle_ = false;
    buffer_.commit(count);
    co_return !error;
  }

  awaitable<bool> refuse_header(error_code error) {
    if (error == http::error::end_of_stream || error == asio::error::eof) co_return false;
    int status = error == beast::error::timeout        ? 408
                 : error == http::error::header_limit  ? 431
                 : error.category() == http::make_error_code(http::error::bad_method).category() ? 400
                                                       : 0;
    if (status != 0 && status != 408) {
      linger_ = true;
      co_await send(plain_text(status, error.message()), {.version = 11, .keep = false});
    }
    // A timeout has closed the socket for Beast: nothing more can be said on it.
    co_return false;
  }

  struct Answering {
    unsigned version = 11;
    bool keep = true;
    bool head_only = false;
  };

  awaitable<bool> serve_plain(http::request_parser<http::empty_body>& head, Request request, const Handler* handler) {
    Answering how{head.get().version(), head.get().keep_alive(), request.method == "HEAD"};
    auto declared = head.content_length();
    if (declared && *declared > options_.max_body) co_return co_await refuse_body(how);
    if (beast::iequals(head.get()[http::field::expect], "100-continue")) {
      stream_.expires_after(options_.body_time);
      auto [error, count] = co_await asio::async_write(stream_, asio::buffer(kContinue), kTuple);
      if (error) co_return false;
    }
    http::request_parser<http::string_body> parser(std::move(head));
    parser.body_limit(options_.max_body);
    stream_.expires_after(options_.body_time);
    auto [error, count] = co_await http::async_read(stream_, buffer_, parser, kTuple);
    if (error == http::error::body_limit) co_return co_await refuse_body(how);
    if (error) co_return error.category() == http::make_error_code(http::error::bad_method).category() &&
                      co_await refuse_header(error);
    request.body = std::move(parser.get().body());
    stream_.expires_never();
    auto response = handler ? co_await ask(*handler, std::move(request)) : plain_text(404, "not found: " + request.path);
    how.keep = how.keep && !shared_->stopping;
    co_return co_await send(std::move(response), how);
  }

  awaitable<bool> refuse_body(Answering how) {
    how.keep = false;
    linger_ = true;
    co_await send(plain_text(413, fmt::format("the body is larger than {} bytes", options_.max_body)), how);
    co_return false;
  }

  // Calls the handler and waits for its reply, whichever thread it comes from.
  awaitable<Response> ask(const Handler& handler, Request request) {
    auto waiting = std::make_shared<PendingReply>();
    {
      std::lock_guard lock(waiting_mutex_);
      waiting_ = waiting;
    }
    auto start = [this, &handler, &request, &waiting](auto resume) {
      waiting->set([shared = shared_, executor = stream_.get_executor(), resume = std::move(resume)](Response response) mutable {
        asio::post(executor, [resume = std::move(resume), response = std::move(response)]() mutable {
          std::move(resume)(std::move(response));
        });
      });
      try {
        handler(std::move(request), [handle = ReplyHandle(waiting)](Response response) {
          handle.waiting->answer(std::move(response));
        });
      } catch (const std::exception& bug) {
        log::error("a request handler threw: {}", bug.what());
        waiting->answer(plain_text(500, "internal error"));
      }
    };
    auto response = co_await asio::async_initiate<decltype(asio::use_awaitable), void(Response)>(start, asio::use_awaitable);
    std::lock_guard lock(waiting_mutex_);
    waiting_.reset();
    co_return response;
  }

  awaitable<bool> send(Response response, Answering how) {
    auto explicit_length = response.headers.find("content-length").has_value();
    http::response<http::string_body> out;
    out.result(static_cast<unsigned>(response.status));
    insert_head(response, [&](const auto& name, const auto& value) { out.insert(name, value); });
    out.version(how.version);
    out.keep_alive(how.keep);
    if (!how.keep) out.set(http::field::connection, "close");
    bool bodiless = has_no_body(response.status);
    if (!bodiless && !(how.head_only && explicit_length)) out.content_length(response.body.size());
    if (!bodiless && !how.head_only) out.body() = std::move(response.body);
    // At least 64 KiB a second: who reads slower holds the connection for nothing.
    stream_.expires_after(options_.body_time + Millis(out.body().size() / 64));
    auto [error, count] = co_await http::async_write(stream_, out, kTuple);
    co_return !error && how.keep;
  }

  awaitable<bool> serve_streaming(http::request_parser<http::empty_body>& head, Request request, const StreamHandler& handler) {
    Answering how{head.get().version(), false, request.method == "HEAD"};
    StreamSlot slot(*shared_);
    std::optional<bool> keep;
    if (slot.taken()) {
      StreamParser parser(std::move(head));
      parser.body_limit(boost::none);
      stream_.expires_never();
      keep = co_await run_on_thread([&] { return serve_exchange(fd(), options_.body_time, buffer_, parser, request, handler); });
    }
    linger_ = !keep.value_or(false);
    if (keep) co_return *keep;
    auto busy = plain_text(503, "too many transfers at a time");
    busy.headers.set("retry-after", "1");
    co_return co_await send(std::move(busy), how);
  }

  // Waits for `work` on a thread of its own; no asynchronous operation is pending on the socket meanwhile. Nothing when the system has
  // no thread to give.
  template <class Work>
  awaitable<std::optional<bool>> run_on_thread(Work work) {
    auto start = [this, &work](auto resume) {
      auto done = std::make_shared<decltype(resume)>(std::move(resume));
      auto finish = [executor = stream_.get_executor(), done](std::optional<bool> result) {
        asio::post(executor, [done, result] { std::move (*done)(result); });
      };
      try {
        std::thread([&work, finish, shared = shared_] { finish(work()); }).detach();
      } catch (const std::system_error& none) {
        log::warn("no thread for a transfer: {}", none.what());
        finish(std::nullopt);
      }
    };
    co_return co_await asio::async_initiate<decltype(asio::use_awaitable), void(std::optional<bool>)>(start, asio::use_awaitable);
  }

  // Closing while the client still sends would reset the connection and lose our answer: read on for a moment.
  awaitable<void> linger() {
    error_code ignored;
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    stream_.expires_after(Seconds(2));
    std::size_t total = 0;
    while (total < 64 * kDrain) {
      buffer_.clear();
      auto [error, count] = co_await stream_.async_read_some(buffer_.prepare(65536), kTuple);
      if (error) co_return;
      total += count;
    }
  }

  beast::tcp_stream stream_;
  std::shared_ptr<Shared> shared_;
  const ServerOptions& options_;
  beast::flat_buffer buffer_;
  std::string remote_;
  const bool secure_;
  bool idle_ = false, linger_ = false;
  std::mutex waiting_mutex_;
  std::shared_ptr<PendingReply> waiting_;
};

}  // namespace

void Connection::start(int socket, std::shared_ptr<Shared> shared, std::string remote) {
  auto executor = asio::make_strand(*shared->io);
  auto protocol = is_ipv6(socket) ? asio::ip::tcp::v6() : asio::ip::tcp::v4();
  live(executor, shared, std::make_shared<ConnectionImpl>(asio::ip::tcp::socket(executor, protocol, socket), shared, std::move(remote)));
}

bool Connection::is_ipv6(int socket) {
  sockaddr_storage local{};
  socklen_t length = sizeof local;
  return ::getsockname(socket, reinterpret_cast<sockaddr*>(&local), &length) == 0 && local.ss_family == AF_INET6;
}

void Connection::live(const asio::any_io_executor& executor, std::shared_ptr<Shared> shared, std::shared_ptr<Connection> connection) {
  {
    std::lock_guard lock(shared->mutex);
    shared->connections.insert(connection.get());
  }
  // The coroutine holds what it runs on, also when it is destroyed before its end.
  auto hold = [](std::shared_ptr<Connection> self) -> awaitable<void> { co_await self->run(); };
  asio::co_spawn(executor, hold(connection), [shared, connection](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const std::exception& bug) {
      log::error("a connection ended by an exception: {}", bug.what());
    }
    std::lock_guard lock(shared->mutex);
    shared->connections.erase(connection.get());
    shared->changed.notify_all();
  });
}

}  // namespace watari::net
