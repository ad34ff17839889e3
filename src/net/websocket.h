#pragma once
// WebSockets of the server (RFC 6455), as a route hands them out. Implementation: Boost.Beast.
#include <functional>
#include <memory>
#include <string>

#include "net/http.h"

namespace watari::net {

// One open WebSocket. Any thread; shared between the connection and whoever talks on it.
class WebSocket {
 public:
  virtual ~WebSocket() = default;
  // Queued, in order; dropped when the peer is gone (`closed` has told, or will).
  virtual void send(std::string message, bool text) = 0;
  virtual void close() = 0;  // after what is queued
};

struct WebSocketEvents {
  std::function<void(std::string message)> message;  // on a server thread, one at a time; must not block
  std::function<void()> closed;                      // once, whoever closed it; nothing comes afterwards
};

// Called on a server thread with the upgrade request; an Error refuses it with 403 and its message.
using WebSocketHandler = std::function<Result<WebSocketEvents>(const Request&, std::shared_ptr<WebSocket>)>;

}  // namespace watari::net
