#include "balancer/socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/strings.h"

namespace watari::balancer {

namespace {

constexpr int kTimeoutMs = 2000;
constexpr std::size_t kLineBytes = 8192;  // HAProxy reads a line of commands into one buffer (16 KiB)

struct Fd {
  int value;
  ~Fd() {
    if (value >= 0) ::close(value);
  }
};

// One line of CSV; HAProxy quotes fields that hold commas or quotes.
void csv_fields(std::string_view line, std::vector<std::string>& fields) {
  fields.clear();
  while (true) {
    auto& field = fields.emplace_back();
    if (!line.starts_with('"')) {
      auto end = line.find(',');
      field = line.substr(0, end);
      line.remove_prefix(std::min(end, line.size()));
    } else {
      std::size_t i = 1;
      for (; i < line.size() && (line[i] != '"' || line.substr(i).starts_with("\"\"")); ++i) {
        if (line[i] == '"') ++i;
        field += line[i];
      }
      line.remove_prefix(std::min(i + 1, line.size()));
    }
    if (line.empty()) return;
    line.remove_prefix(1);
  }
}

constexpr const char* kColumns[] = {"pxname", "svname", "addr", "status", "check_status", "last_chk", "check_code", "check_duration",
                                    "check_health", "scur", "stot", "econ", "eresp", "hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx"};

}  // namespace

Result<std::string> command(const std::string& path, const std::string& text, int interrupt) {
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
    pollfd wait[2] = {{fd.value, POLLIN, 0}, {interrupt, POLLIN, 0}};
    if (left <= 0 || ::poll(wait, 2, static_cast<int>(left)) <= 0)
      return fail(Code::DeadlineExceeded, "HAProxy at {} did not answer within {} ms", path, kTimeoutMs);
    if (wait[1].revents != 0) return fail(Code::Cancelled, "asking HAProxy at {} was interrupted", path);
    auto n = ::recv(fd.value, buffer, sizeof buffer, 0);
    if (n < 0) return fail(Code::Unavailable, "read from HAProxy at {}: {}", path, std::strerror(errno));
    if (n == 0) return answer;
    answer.append(buffer, static_cast<std::size_t>(n));
  }
}

std::vector<std::string> batches(const std::vector<std::string>& commands) {
  std::vector<std::string> lines;
  for (const auto& command : commands) {
    if (lines.empty() || lines.back().size() + command.size() > kLineBytes) lines.push_back(command);
    else lines.back() += "; " + command;
  }
  return lines;
}

std::vector<ServerStat> parse_stat(const std::string& csv) {
  std::vector<ServerStat> stats;
  std::vector<std::string> fields;
  std::vector<std::size_t> at;  // of kColumns
  for (std::string_view rest = csv; !rest.empty();) {
    auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.starts_with("# ")) {
      csv_fields(line.substr(2), fields);
      at.clear();
      for (const auto* column : kColumns) at.push_back(static_cast<std::size_t>(std::ranges::find(fields, column) - fields.begin()));
      continue;
    }
    if (line.empty() || at.empty()) continue;
    csv_fields(line, fields);
    std::size_t next = 0;
    auto text = [&] {
      auto column = at[next++];
      return column < fields.size() ? fields[column] : std::string();
    };
    auto count = [&] { return parse_number<std::uint64_t>(text()).value_or(0); };
    auto number = [&] { return parse_number<int>(text()).value_or(0); };
    // Initializers are evaluated in this order, which is that of kColumns.
    ServerStat stat{.backend = text(), .server = text(), .address = text(), .status = text(), .check_status = text(), .last_check = text(),
                    .check_code = number(), .check_duration = number(), .check_health = number(), .sessions = number(), .total = count(),
                    .connection_errors = count(), .response_errors = count()};
    for (std::size_t hundreds = 1; hundreds <= 5; ++hundreds) stat.responses[hundreds] = count();
    if (stat.check_status.starts_with("* ")) stat.check_status.erase(0, 2);
    stats.push_back(std::move(stat));
  }
  return stats;
}

// "# table: t1, type: …", then its entries: "0x55d: key=1 use=0 exp=0 gpc0=4 gpc1=0"
std::map<std::string, OwnErrors> parse_tables(const std::string& text) {
  std::map<std::string, OwnErrors> out;
  OwnErrors* errors = nullptr;
  for (const auto& line : split(text, '\n')) {
    if (line.starts_with("# table: ")) errors = &out[line.substr(9, line.find(',') - 9)];
    for (const auto& word : split(line, ' ')) {
      if (!errors) break;
      if (word.starts_with("gpc0=")) errors->bad_gateway += parse_number<std::uint64_t>(trim(word.substr(5))).value_or(0);
      if (word.starts_with("gpc1=")) errors->timeouts += parse_number<std::uint64_t>(trim(word.substr(5))).value_or(0);
    }
  }
  return out;
}

}  // namespace watari::balancer
