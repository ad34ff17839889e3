#pragma once
// One exchange of a streaming handler, which reads and writes the socket itself. Internal to net/: between connection.cc and exchange.cc.
#include <memory>

#include "net/server.h"

// Beast's types by name only: its headers are heavy.
namespace boost::beast {
template <class Allocator>
class basic_flat_buffer;
namespace http {
template <bool is_request, class Body, class Allocator>
class parser;
struct buffer_body;
}  // namespace http
}  // namespace boost::beast

namespace watari::net {

using StreamBuffer = boost::beast::basic_flat_buffer<std::allocator<char>>;
using StreamParser = boost::beast::http::parser<true, boost::beast::http::buffer_body, std::allocator<char>>;

// Calls the handler on this thread, which may block, at most `piece_time` for each piece that it reads or writes. `parser` has read the
// head, `buffer` holds what came behind it; nothing else may use the socket meanwhile. Whether the connection can serve another request.
bool serve_exchange(int socket, Millis piece_time, StreamBuffer& buffer, StreamParser& parser, const Request& request, const StreamHandler& handler);

}  // namespace watari::net
