#pragma once
// The HTTP server: one port, routes by longest path prefix, plain or streaming handlers. Implementation: Boost.Beast.
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "net/http.h"

namespace watari::net {

// Answers one request; may be called from any thread, exactly once, also after the handler has returned.
using Reply = std::move_only_function<void(Response)>;
// Called on a server thread with the whole body read; must not block (post work elsewhere and reply later).
using Handler = std::function<void(Request, Reply)>;

// For bodies that do not fit in memory. Streaming handlers run on a thread of their own and may block.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // The next bytes; an empty result is the end. Unavailable when the client went away.
  virtual Result<std::size_t> read(std::span<char> into) = 0;
};
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  // Sends status and headers (content-length, or chunked when it is not given), then the body with write().
  virtual Result<void> start(const Response& head) = 0;
  virtual Result<void> write(std::string_view bytes) = 0;
  // For small answers: head and body at once.
  virtual Result<void> send(const Response& response) = 0;
};
using StreamHandler = std::function<void(const Request&, BodyReader&, ResponseWriter&)>;

struct ServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;                        // 0 takes a free one
  std::size_t threads = 1;
  std::size_t max_body = 16 * 1024 * 1024;       // for plain handlers; more is answered with 413
};

class Server {
 public:
  // Unavailable when the address is taken: the message says by what and how to choose another.
  static Result<std::unique_ptr<Server>> listen(ServerOptions options);
  virtual ~Server() = default;

  virtual void route(std::string prefix, Handler handler) = 0;         // before start()
  virtual void route_stream(std::string prefix, StreamHandler handler) = 0;
  virtual void start() = 0;
  virtual void stop() = 0;  // closes the listener, lets running requests finish (at most 5 s), joins
  virtual std::uint16_t port() const = 0;
};

}  // namespace watari::net
