#include "net/exchange.h"

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>

#include "base/log.h"
#include "base/strings.h"
#include "net/answer.h"

namespace watari::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

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

// One streamed exchange, on the thread of its handler.
class Exchange final : public BodyReader, public ResponseWriter {
 public:
  Exchange(BlockingStream stream, StreamBuffer& buffer, StreamParser& parser, bool head_only)
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
    out.result(static_cast<unsigned>(head.status));
    insert_head(head, [&](const auto& name, const auto& value) { out.insert(name, value); });
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
  StreamBuffer& buffer_;
  StreamParser& parser_;
  bool head_only_, waits_for_continue_ = false, keep_ = true;
  bool started_ = false, bodiless_ = false, chunked_ = false, broken_ = false;
  std::uint64_t left_ = 0;
};

}  // namespace

bool serve_exchange(int socket, Millis piece_time, StreamBuffer& buffer, StreamParser& parser, const Request& request, const StreamHandler& handler) {
  Exchange exchange(BlockingStream(socket, piece_time), buffer, parser, request.method == "HEAD");
  try {
    handler(request, exchange, exchange);
  } catch (const std::exception& bug) {
    log::error("a streaming handler threw on {} {}: {}", request.method, request.path, bug.what());
  }
  return exchange.finish();
}

}  // namespace watari::net
