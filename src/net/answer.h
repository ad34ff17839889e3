#pragma once
// What plain and streamed answers have in common. Internal to net/.
#include <string>
#include <string_view>

#include "net/http.h"

namespace watari::net {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
// An unread rest of a request body up to this size is read and thrown away to keep the connection.
constexpr std::size_t kDrain = 1024 * 1024;

// RFC 9110 section 6.4.1.
constexpr bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

Response plain_text(int status, std::string text);  // with a newline at the end

std::string http_date();  // now, as in "Sun, 06 Nov 1994 08:49:37 GMT"

// Calls insert(name, value) with every field of the answer's head. A control character in a value would end the header: such a
// field is left out, so that a reply cannot make another one.
template <class Insert>
void insert_head(const Response& response, Insert insert) {
  insert("Date", http_date());
  insert("Server", "watari");
  for (const auto& [name, value] : response.headers.items())
    if (value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos) insert(name, value);
}

}  // namespace watari::net
