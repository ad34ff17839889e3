#pragma once
// The HTTP server: one port, routes by longest path prefix, plain or streaming handlers. Implementation: Boost.Beast.
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "net/http.h"
#include "net/websocket.h"

namespace watari::net {

// Answers one request; may be called from any thread, exactly once, also after the handler has returned. Dropped without
// a call it answers 500.
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

class TlsCertificates;  // net/tls.h

struct ServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;                        // 0 takes a free one
  std::shared_ptr<TlsCertificates> certificates; // with them every port also speaks TLS: the first byte of a connection tells
  std::size_t threads = 1;
  std::size_t max_body = 16 * 1024 * 1024;       // for plain handlers; more is answered with 413
  std::size_t max_header = 64 * 1024;            // more is answered with 431
  std::size_t max_connections = 4096;            // more are closed at once
  std::size_t max_streams = 256;                 // streaming handlers at a time; more are answered with 503
  Millis header_time{15'000};                    // from a request's first byte to the end of its headers; else 408
  Millis body_time{60'000};                      // for the body of a plain request, and between two pieces of a streamed one
  Millis idle_time{75'000};                      // a kept connection without a request is closed
};

// Owned by apps/watari. Handlers run on the server's threads; a request is read only when the one before it on the same
// connection has been answered, so pipelined requests are answered in order.
class Server {
 public:
  // Unavailable when the address is taken: the message says by what and how to choose another.
  static Result<std::unique_ptr<Server>> listen(ServerOptions options);
  // One more address for the same routes, before start(); `option` is named when it is taken. Returns the port.
  virtual Result<std::uint16_t> also_listen(const std::string& address, std::uint16_t port, std::string_view option) = 0;
  virtual ~Server() = default;

  // A prefix matches whole path segments: "/v2" and "/v2/" both match "/v2" and "/v2/a", not "/v2a". "/" matches all; a path
  // without a route is answered with 404.
  virtual void route(std::string prefix, Handler handler) = 0;         // before start()
  virtual void route_stream(std::string prefix, StreamHandler handler) = 0;
  virtual void route_websocket(std::string prefix, WebSocketHandler handler) = 0;  // for upgrade requests below the prefix
  virtual void start() = 0;
  // Closes the listener, lets running requests finish (at most 5 s, then their connections are cut), joins. Streaming
  // handlers see Unavailable from their reader and writer then, and stop() waits for them to return.
  virtual void stop() = 0;
  virtual std::uint16_t port() const = 0;  // of listen()
};

}  // namespace watari::net
