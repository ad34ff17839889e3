#include "net/answer.h"

#include <ctime>

namespace watari::net {

Response plain_text(int status, std::string text) {
  Response response{.status = status, .body = std::move(text) + "\n"};
  response.headers.set("content-type", "text/plain; charset=utf-8");
  return response;
}

std::string http_date() {
  char text[64];
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

}  // namespace watari::net
