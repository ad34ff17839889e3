#pragma once
// HTTP/1.1 messages as values. The server (net/server.h) and the client (net/client.h) speak in these.
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace watari::net {

// In the order of the wire; names compare without case.
class Headers {
 public:
  void add(std::string name, std::string value) { items_.emplace_back(std::move(name), std::move(value)); }
  void set(std::string_view name, std::string value);      // replaces every one of that name
  std::optional<std::string_view> find(std::string_view name) const;  // the first
  std::string_view get(std::string_view name) const { return find(name).value_or(std::string_view{}); }
  const std::vector<std::pair<std::string, std::string>>& items() const { return items_; }

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

struct Request {
  std::string method;
  std::string target;  // as it came: "/v2/a%20b?n=1"
  std::string path;    // the part before '?', still percent-encoded
  std::string query;   // the part after it, still percent-encoded
  Headers headers;
  std::string body;    // empty for streaming handlers
  std::string remote;  // "127.0.0.1:52514"
  bool secure = false;  // it came by HTTPS
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
};

}  // namespace watari::net
