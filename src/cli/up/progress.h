#pragma once
// What `watari up` says while it works: one line a thing that happened; on a terminal also one line that changes.
#include <chrono>
#include <string>

namespace watari::cli::up {

class Progress {
 public:
  // To stderr when `quiet_stdout`, because stdout is for JSON then.
  explicit Progress(bool quiet_stdout) : out_(quiet_stdout ? stderr : stdout) {}
  ~Progress() { clear(); }

  void line(const std::string& what, const std::string& text);  // "  api      2 of 2 healthy"
  void heading(const std::string& text);
  void now(const std::string& text);  // replaced by the next; on a terminal only

 private:
  void clear();
  std::FILE* out_;
  bool shown_ = false;
};

// Time since it was made, in words: "1.2 s".
class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  std::string text() const;

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace watari::cli::up
