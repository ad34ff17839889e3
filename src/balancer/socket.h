#pragma once
// HAProxy's command sockets: one connection a command, as HAProxy's own tools do. Blocking, at most two seconds.
// Source: https://docs.haproxy.org/2.6/management.html#9.3
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace watari::balancer {

// Unavailable when nobody listens; DeadlineExceeded when there is no whole answer within the time; Cancelled when `interrupt` became
// readable before that.
Result<std::string> command(const std::string& socket_path, const std::string& text, int interrupt = -1);

// Commands joined to lines, as few as HAProxy's buffer allows.
std::vector<std::string> batches(const std::vector<std::string>& commands);

// One server's line of `show stat`.
struct ServerStat {
  std::string backend, server, address;
  std::string status;        // UP, UP 1/3, DOWN, DOWN 1/2, DRAIN, MAINT, NOLB, no check
  std::string check_status;  // L7OK, L7STS, L4CON, …; "* " in front while a probe runs is removed
  std::string last_check;    // the failure in words
  int check_code = 0, check_duration = 0, check_health = 0;
  int sessions = 0;
  std::uint64_t total = 0;  // requests or connections, ever
  std::array<std::uint64_t, 6> responses{};  // [2]: 2xx …
  std::uint64_t connection_errors = 0, response_errors = 0;
};
std::vector<ServerStat> parse_stat(const std::string& csv);

// What a backend answered itself, by kind, as its table has it (`show table`; backend.cc).
struct OwnErrors {
  std::uint64_t bad_gateway = 0, timeouts = 0;  // 502, 504
};
std::map<std::string, OwnErrors> parse_tables(const std::string& text);

}  // namespace watari::balancer
