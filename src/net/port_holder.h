#pragma once
// Which process of this host listens on a TCP port: for error messages only.
#include <cstdint>
#include <string>

namespace watari::net {

// "haproxy (pid 4211)", or "" when it cannot be told (another user's process, another network namespace).
// Source: https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html
std::string port_holder(std::uint16_t port);

}  // namespace watari::net
