#pragma once
// How verbs end and speak: exit codes, error lines, defaults, tables.
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace watari::cli {

// 0, or 1 with "watari: <message>" on stderr; 2 when the arguments were wrong.
int finish(const Result<void>& result);

// WATARI_ROOT, or /var/lib/watari.
std::string default_root();

struct Address {
  std::string host;  // without brackets
  std::uint16_t port = 0;
};
// "127.0.0.1:4566", "[::1]:4566". InvalidArgument otherwise.
Result<Address> parse_address(const std::string& text);

// Columns as wide as their widest cell, two spaces between; the first row is the heading.
std::string table(const std::vector<std::vector<std::string>>& rows);
std::string age(double seconds);        // "3 s", "12 min", "5 h", "2 d"
std::string ago(double time);           // since that time (seconds since the epoch), in the same words; "" for 0
std::string clock_time(double time);    // 17:04:33, local time
bool is_terminal();                     // stdout
bool is_terminal_input();               // stdin

// "900 B", "12.3 MB"
std::string size_text(std::int64_t bytes);
// "512m", "2g", or bytes; positive. InvalidArgument otherwise, which names the option.
Result<std::int64_t> parse_size(const std::string& option, const std::string& text);

}  // namespace watari::cli
