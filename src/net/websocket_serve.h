#pragma once
// The server's side of a WebSocket. Internal to net/: between connection.cc and websocket.cc.
#include <boost/asio/awaitable.hpp>

#include "net/websocket.h"

namespace watari::net {

// Asks the handler, upgrades, and passes messages until either side closes. `socket` is connected and non-blocking and stays the
// caller's, who must not use it meanwhile. The coroutine's executor must be a strand. `events.closed` has been called at the end.
boost::asio::awaitable<void> serve_websocket(int socket, const Request& upgrade, const WebSocketHandler& handler);

}  // namespace watari::net
