#pragma once
// A WebSocket to a server (RFC 6455), over libcurl's connection, so that TLS is curl's. One thread. Never through a proxy.
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace watari::net {

class WebSocketClient {
 public:
  // ws:// or wss://; `ca_file` as in FetchOptions. Unavailable with the server's words when it refuses.
  static Result<WebSocketClient> connect(const std::string& url, const std::string& ca_file);
  ~WebSocketClient();
  WebSocketClient(WebSocketClient&&) noexcept;

  int socket() const;  // to poll for input; also call receive() again after it gave a message, until it gives none
  Result<void> send(std::string_view message, bool text);  // waits while the peer does not take it
  // The next whole message; none: not yet. Unavailable: the peer has closed. Pings are answered.
  Result<std::optional<std::string>> receive();

 private:
  struct Impl;
  explicit WebSocketClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace watari::net
