#pragma once
// A gRPC health check as HAProxy can make it: an HTTP/2 exchange byte by byte. Its own HTTP checks can neither send an empty message (which
// begins with a zero byte) nor read trailers, where a server that knows the method gives its status. Pure.
#include <string>

namespace watari::balancer {

// The lines of a backend that call `path` ("/package.service/method") with an empty message, and take the answer for good when its
// `grpc-status` is among `codes` ("0-3,12"). `secure`: over TLS, which the server lines see to.
// Source: RFC 9113 (frames), RFC 7541 (header fields), https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
std::string grpc_check(const std::string& path, const std::string& host, const std::string& codes, bool secure);

}  // namespace watari::balancer
