#include "balancer/socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <map>

#include "base/strings.h"

namespace watari::balancer {

namespace {

constexpr int kTimeoutMs = 2000;

struct Fd {
  int value;
  ~Fd() {
    if (value >= 0) ::close(value);
  }
};

// One line of CSV; HAProxy quotes fields that hold commas or quotes.
std::vector<std::string> csv_fields(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

}  // namespace

Result<std::string> command(const std::string& path, const std::string& text) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Code::InvalidArgument, "socket path {} is longer than 107 bytes", path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (fd.value < 0 || ::connect(fd.value, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail(Code::Unavailable, "connect to HAProxy at {}: {}", path, std::strerror(errno));
  auto line = text + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    auto n = ::send(fd.value, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return fail(Code::Unavailable, "write to HAProxy at {}: {}", path, std::strerror(errno));
    sent += static_cast<std::size_t>(n);
  }
  ::shutdown(fd.value, SHUT_WR);
  std::string answer;
  char buffer[65536];
  auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTimeoutMs);
  for (;;) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd wait{fd.value, POLLIN, 0};
    if (left <= 0 || ::poll(&wait, 1, static_cast<int>(left)) <= 0)
      return fail(Code::DeadlineExceeded, "HAProxy at {} did not answer within {} ms", path, kTimeoutMs);
    auto n = ::recv(fd.value, buffer, sizeof buffer, 0);
    if (n < 0) return fail(Code::Unavailable, "read from HAProxy at {}: {}", path, std::strerror(errno));
    if (n == 0) return answer;
    answer.append(buffer, static_cast<std::size_t>(n));
  }
}

std::vector<ServerStat> parse_stat(const std::string& csv) {
  std::vector<ServerStat> stats;
  std::map<std::string, std::size_t> columns;
  for (const auto& line : split(csv, '\n')) {
    if (line.starts_with("# ")) {
      auto names = csv_fields(std::string_view(line).substr(2));
      for (std::size_t i = 0; i < names.size(); ++i) columns[names[i]] = i;
      continue;
    }
    if (line.empty() || columns.empty()) continue;
    auto fields = csv_fields(line);
    auto text = [&](const char* name) {
      auto column = columns.find(name);
      return column == columns.end() || column->second >= fields.size() ? std::string() : fields[column->second];
    };
    auto count = [&](const char* name) { return parse_number<std::uint64_t>(text(name)).value_or(0); };
    auto number = [&](const char* name) { return parse_number<int>(text(name)).value_or(0); };
    ServerStat stat{.backend = text("pxname"), .server = text("svname"), .address = text("addr"), .status = text("status"),
                    .check_status = text("check_status"), .last_check = text("last_chk"), .check_code = number("check_code"),
                    .check_duration = number("check_duration"), .check_health = number("check_health"),
                    .sessions = number("scur"), .total = count("stot"), .connection_errors = count("econ"), .response_errors = count("eresp")};
    for (std::size_t hundreds = 1; hundreds <= 5; ++hundreds) stat.responses[hundreds] = count(fmt::format("hrsp_{}xx", hundreds).c_str());
    if (stat.check_status.starts_with("* ")) stat.check_status.erase(0, 2);
    stats.push_back(std::move(stat));
  }
  return stats;
}

}  // namespace watari::balancer
