#pragma once
// Requests over plain HTTP to a server on this machine, which is what nearly every `watari` command makes and nothing else: libcurl, which
// speaks to the rest of the world, takes longer to load than the whole call. One connection a thread, kept. Blocking.
#include <string_view>

#include "net/client.h"

namespace watari::net {

// Whether the address is plain HTTP on this machine's loopback.
bool is_plain_and_local(std::string_view url);

// As fetch() (net/client.h), with the whole answer in the response's body. Of the options it knows the timeout, and a body_source of known size.
Result<Response> fetch_plainly(const Request& request, const FetchOptions& options);

}  // namespace watari::net
