#include "net/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
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
#include <cerrno>
#include <ctime>
#include <thread>

#include "base/log.h"
#include "base/strings.h"
#include "net/websocket_serve.h"

namespace watari::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using asio::awaitable;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
// An unread rest of a request body up to this size is read and thrown away to keep the connection.
constexpr std::size_t kDrain = 1024 * 1024;

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

bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

std::string http_date() {
  char text[64];
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

template <class Body>
void fill_head(http::message<false, Body, http::fields>& out, const Response& response) {
  out.result(static_cast<unsigned>(response.status));
  out.set(http::field::date, http_date());
  out.set(http::field::server, "watari");
  for (const auto& [name, value] : response.headers.items()) {
    // A control character in a value would end the header: a reply must not be able to make another one.
    if (value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos) out.insert(name, value);
  }
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

Response plain_text(int status, std::string text) {
  Response response{.status = status, .body = std::move(text) + "\n"};
  response.headers.set("content-type", "text/plain; charset=utf-8");
  return response;
}

// A socket as a blocking stream with a deadline on every read and write; what Beast calls a SyncStream.
class BlockingStream {
 public:
  BlockingStream(int fd, Millis timeout) : fd_(fd), timeout_(timeout) {}

  template <class Buffers>
  std::size_t read_some(const Buffers& buffers, error_code& error) {
    return transfer(*asio::buffer_sequence_begin(buffers), POLLIN, error);
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& buffers, error_code& error) {
    asio::const_buffer first;
    for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers) && !first.size(); ++at)
      first = *at;
    return transfer(first, POLLOUT, error);
  }
  template <class Buffers>
  std::size_t read_some(const Buffers& buffers) {
    return or_throw([&](error_code& error) { return read_some(buffers, error); });
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& buffers) {
    return or_throw([&](error_code& error) { return write_some(buffers, error); });
  }

 private:
  static ssize_t once(int fd, asio::mutable_buffer into) { return ::recv(fd, into.data(), into.size(), 0); }
  static ssize_t once(int fd, asio::const_buffer from) { return ::send(fd, from.data(), from.size(), MSG_NOSIGNAL); }

  template <class Buffer>
  std::size_t transfer(Buffer buffer, short events, error_code& error) {
    error = {};
    if (buffer.size() == 0) return 0;
    while (true) {
      auto count = once(fd_, buffer);
      if (count > 0) return static_cast<std::size_t>(count);
      if (count == 0) {
        error = asio::error::eof;
        return 0;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) break;
      pollfd wait{fd_, events, 0};
      auto ready = ::poll(&wait, 1, static_cast<int>(timeout_.count()));
      if (ready == 0) {
        error = asio::error::timed_out;
        return 0;
      }
      if (ready < 0 && errno != EINTR) break;
    }
    error = error_code(errno, boost::system::system_category());
    return 0;
  }
  template <class F>
  std::size_t or_throw(F&& f) {
    error_code error;
    auto count = f(error);
    if (error) throw boost::system::system_error(error);
    return count;
  }

  int fd_;
  Millis timeout_;
};

using StreamParser = http::request_parser<http::buffer_body>;

// One streamed exchange, on the thread of its handler.
class Exchange final : public BodyReader, public ResponseWriter {
 public:
  Exchange(BlockingStream stream, beast::flat_buffer& buffer, StreamParser& parser, bool head_only)
      : stream_(stream), buffer_(buffer), parser_(parser), head_only_(head_only) {
    waits_for_continue_ = beast::iequals(parser.get()[http::field::expect], "100-continue");
    keep_ = parser.get().keep_alive();
  }

  Result<std::size_t> read(std::span<char> into) override {
    if (parser_.is_done() || into.empty()) return 0;
    error_code error;
    if (waits_for_continue_) {
      waits_for_continue_ = false;
      asio::write(stream_, asio::buffer(kContinue), error);
      if (error) return gone("read", error);
    }
    auto& body = parser_.get().body();
    while (!parser_.is_done()) {
      body.data = into.data();
      body.size = into.size();
      body.more = true;
      http::read_some(stream_, buffer_, parser_, error);
      if (error == http::error::need_buffer) error = {};
      if (error) return gone("read", error);
      if (auto count = into.size() - body.size; count > 0) return count;
    }
    return 0;
  }

  Result<void> start(const Response& head) override {
    if (started_) return fail(Code::Internal, "the answer has been started already");
    started_ = true;
    http::response<http::empty_body> out;
    fill_head(out, head);
    out.version(11);
    auto length = head.headers.find("content-length");
    bodiless_ = head_only_ || has_no_body(head.status);
    if (length) {
      left_ = parse_number<std::uint64_t>(*length).value_or(0);
    } else if (!has_no_body(head.status)) {
      chunked_ = true;
      // An HTTP/1.0 client knows no chunks: the end of the connection is the end of the body.
      if (parser_.get().version() < 11) keep_ = false;
      else out.chunked(true);
    }
    out.keep_alive(keep_);
    if (!keep_) out.set(http::field::connection, "close");
    error_code error;
    http::response_serializer<http::empty_body> serializer(out);
    http::write_header(stream_, serializer, error);
    if (error) return gone("write", error);
    return {};
  }

  Result<void> write(std::string_view bytes) override {
    if (!started_) return fail(Code::Internal, "write() before start()");
    if (bodiless_ || bytes.empty()) return {};
    error_code error;
    if (!chunked_) {
      if (bytes.size() > left_) return fail(Code::Internal, "more body than content-length says");
      left_ -= bytes.size();
      asio::write(stream_, asio::buffer(bytes), error);
    } else if (parser_.get().version() < 11) {
      asio::write(stream_, asio::buffer(bytes), error);
    } else {
      asio::write(stream_, http::make_chunk(asio::buffer(bytes)), error);
    }
    if (error) return gone("write", error);
    return {};
  }

  Result<void> send(const Response& response) override {
    Response head{response.status, response.headers, {}};
    if (!head.headers.find("content-length") && !has_no_body(response.status))
      head.headers.set("content-length", std::to_string(response.body.size()));
    TRY_VOID(start(head));
    return write(response.body);
  }

  // Ends the exchange; whether the connection can serve another request.
  bool finish() {
    if (!started_) (void)send(plain_text(500, "the handler gave no answer"));
    error_code error;
    if (chunked_ && !bodiless_ && !broken_ && parser_.get().version() >= 11)
      asio::write(stream_, http::make_chunk_last(), error);
    if (error || broken_ || !keep_ || (!bodiless_ && !chunked_ && left_ > 0)) return false;
    if (parser_.is_done()) return true;
    if (waits_for_continue_) return false;  // whether the client still sends its body cannot be known
    char scratch[16 * 1024];
    for (std::size_t drained = 0; drained < kDrain;) {
      auto count = read(scratch);
      if (!count) return false;
      if (*count == 0) return true;
      drained += *count;
    }
    return false;
  }

 private:
  decltype(fail(Error{})) gone(const char* what, const error_code& error) {
    broken_ = true;
    return fail(Code::Unavailable, "{}: the client went away: {}", what, error.message());
  }

  BlockingStream stream_;
  beast::flat_buffer& buffer_;
  StreamParser& parser_;
  bool head_only_, waits_for_continue_ = false, keep_ = true;
  bool started_ = false, bodiless_ = false, chunked_ = false, broken_ = false;
  std::uint64_t left_ = 0;
};

// A request that waits for its Reply. The reply and the connection both hold it; whoever answers first wins.
class Waiting {
 public:
  using Resume = std::move_only_function<void(Response)>;
  void set(Resume resume) {
    std::lock_guard lock(mutex_);
    resume_ = std::move(resume);
  }
  void answer(Response response) {
    Resume resume;
    {
      std::lock_guard lock(mutex_);
      resume = std::move(resume_);
      resume_ = nullptr;
    }
    if (resume) resume(std::move(response));
  }

 private:
  std::mutex mutex_;
  Resume resume_;
};

struct ReplyHandle {
  std::shared_ptr<Waiting> waiting;
  explicit ReplyHandle(std::shared_ptr<Waiting> w) : waiting(std::move(w)) {}
  ReplyHandle(ReplyHandle&&) = default;
  ~ReplyHandle() {
    if (waiting) waiting->answer(plain_text(500, "the handler gave no answer"));
  }
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
    std::shared_ptr<Waiting> waiting;
    {
      std::lock_guard lock(waiting_mutex_);
      waiting = waiting_;
    }
    if (waiting) waiting->answer(plain_text(503, "the server is stopping"));
  }

  awaitable<void> run() {
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
    auto waiting = std::make_shared<Waiting>();
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
    fill_head(out, response);
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

  awaitable<bool> serve_streaming(http::request_parser<http::empty_body>& head, Request request,
                                  const StreamHandler& handler) {
    bool full;
    {
      std::lock_guard lock(shared_->mutex);
      full = shared_->running_streams >= options_.max_streams;
      if (!full) ++shared_->running_streams;
    }
    if (full) {
      auto busy = plain_text(503, "too many transfers at a time");
      busy.headers.set("retry-after", "1");
      linger_ = true;
      co_return co_await send(std::move(busy), {head.get().version(), false, request.method == "HEAD"});
    }
    StreamParser parser(std::move(head));
    parser.body_limit(boost::none);
    stream_.expires_never();
    auto start = [this, &parser, &request, &handler](auto resume) {
      std::thread([this, &parser, &request, &handler, shared = shared_, executor = stream_.get_executor(),
                   resume = std::move(resume)]() mutable {
        bool keep = run_stream(parser, request, handler);
        asio::post(executor, [keep, resume = std::move(resume)]() mutable { std::move(resume)(keep); });
      }).detach();
    };
    bool keep = co_await asio::async_initiate<decltype(asio::use_awaitable), void(bool)>(start, asio::use_awaitable);
    {
      std::lock_guard lock(shared_->mutex);
      --shared_->running_streams;
    }
    linger_ = !keep;
    co_return keep;
  }

  // On the handler's own thread; no asynchronous operation is pending on the socket meanwhile.
  bool run_stream(StreamParser& parser, const Request& request, const StreamHandler& handler) {
    Exchange exchange(BlockingStream(fd(), options_.body_time), buffer_, parser, request.method == "HEAD");
    try {
      handler(request, exchange, exchange);
    } catch (const std::exception& bug) {
      log::error("a streaming handler threw on {} {}: {}", request.method, request.path, bug.what());
    }
    return exchange.finish();
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
  std::shared_ptr<Waiting> waiting_;
};

awaitable<void> live(std::shared_ptr<ConnectionImpl> connection) { co_await connection->run(); }

}  // namespace

void Connection::start(int socket, std::shared_ptr<Shared> shared, std::string remote) {
  sockaddr_storage local{};
  socklen_t length = sizeof local;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&local), &length);
  auto protocol = local.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4();
  auto executor = asio::make_strand(*shared->io);
  auto connection = std::make_shared<ConnectionImpl>(asio::ip::tcp::socket(executor, protocol, socket), shared, std::move(remote));
  {
    std::lock_guard lock(shared->mutex);
    shared->connections.insert(connection.get());
  }
  asio::co_spawn(executor, live(connection), [shared, connection](std::exception_ptr thrown) {
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
