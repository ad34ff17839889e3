#include "cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "base/strings.h"

namespace watari::cli {

int finish(const Result<void>& result) {
  if (result) return 0;
  fmt::print(stderr, "watari: {}\n", result.error().message);
  return result.error().reason == "usage" ? 2 : 1;
}

std::string default_root() {
  const char* root = std::getenv("WATARI_ROOT");
  return root && *root ? root : "/var/lib/watari";
}

Result<Address> parse_address(const std::string& text) {
  auto colon = text.rfind(':');
  auto host = colon == std::string::npos ? "" : text.substr(0, colon);
  auto port = colon == std::string::npos ? std::nullopt : parse_number<std::uint16_t>(text.substr(colon + 1));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string::npos) port.reset();
  if (host.empty() || !port)
    return fail(Error{Code::InvalidArgument, text + " is no ADDRESS:PORT, such as 127.0.0.1:4566 or [::1]:4566", "usage"});
  return Address{host, *port};
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    while (line.ends_with(' ')) line.pop_back();
    out += line + "\n";
  }
  return out;
}

std::string age(double seconds) {
  if (seconds < 120) return fmt::format("{:.0f} s", std::max(0.0, seconds));
  if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
  if (seconds < 172800) return fmt::format("{:.0f} h", seconds / 3600);
  return fmt::format("{:.0f} d", seconds / 86400);
}

std::string ago(double time) {
  if (time <= 0) return "";
  return age(std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count() - time);
}

std::string clock_time(double time) {
  auto seconds = static_cast<std::time_t>(time);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  char text[16];
  return {text, std::strftime(text, sizeof text, "%H:%M:%S", &parts)};
}

bool is_terminal_input() { return ::isatty(STDIN_FILENO) == 1; }
bool is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }

std::string size_text(std::int64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  for (; value >= 1000 && unit < 3; ++unit) value /= 1000;
  return fmt::format("{:.1f} {}B", value, "kMGT"[unit]);
}

Result<std::int64_t> parse_size(const std::string& option, const std::string& text) {
  const auto unit = std::string_view("kmg").find(text.empty() ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(text.back()))));
  const int shift = unit == std::string_view::npos ? 0 : 10 * (static_cast<int>(unit) + 1);
  auto count = parse_number<std::int64_t>(std::string_view(text).substr(0, text.size() - (shift > 0 ? 1 : 0)));
  if (!count || *count <= 0 || *count > (std::int64_t{1} << 62 >> shift)) return fail(Code::InvalidArgument, "{} {}: expected for example 512m or 2g", option, text);
  return *count << shift;
}

}  // namespace watari::cli
