// Progress of a build on stderr.
#include <sys/ioctl.h>
#include <unistd.h>

#include <deque>
#include <map>
#include <memory>
#include <set>

#include "cli/build_client.h"

namespace watari::cli {
namespace {

using codec::Json;

std::string seconds(std::int64_t milliseconds) { return fmt::format("{:.1f}s", static_cast<double>(milliseconds) / 1000); }

std::string title(const Json& step, std::size_t count) {
  return fmt::format("[{} {}/{}] {}", step["stage"].as_string(), step["number"].as_int(), count, step["instruction"].as_string());
}

bool is_over(const std::string& status) { return status != "WAITING" && status != "RUNNING"; }

// One line for everything that happens, for logs and pipes.
class Plain {
 public:
  void show(const Json& report) {
    const auto& steps = report["steps"].as_array();
    auto count = steps.size();
    std::map<std::int64_t, std::vector<std::string>> lines;
    for (const auto& line : report["logLines"].as_array()) lines[line["step"].as_int()].push_back(line["text"].as_string());
    for (const auto& note : lines[0]) fmt::print(stderr, "note: {}\n", note);
    for (const auto& step : steps) {
      auto number = step["number"].as_int();
      const auto& status = step["status"].as_string();
      if (status != "WAITING" && begun_.insert(number).second) fmt::print(stderr, "#{} {}\n", number, title(step, count));
      for (const auto& line : lines[number]) fmt::print(stderr, "#{} {}\n", number, line);
      if (!is_over(status) || !begun_.contains(number) || !ended_.insert(number).second) continue;
      auto time = status == "DONE" || status == "FAILED" ? " " + seconds(step["milliseconds"].as_int()) : "";
      fmt::print(stderr, "#{} {}{}\n", number, status, time);
    }
  }

 private:
  std::set<std::int64_t> begun_, ended_;
};

// Steps that are over scroll away; running ones stay at the bottom with their last lines.
class Live {
 public:
  void show(const Json& report) {
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) width_ = size.ws_col;
    std::string out;
    if (drawn_ > 0) out += fmt::format("\x1b[{}A\x1b[J", drawn_);
    drawn_ = 0;
    for (const auto& line : report["logLines"].as_array()) {
      auto step = line["step"].as_int();
      if (step == 0) out += "note: " + line["text"].as_string() + "\n";
      auto& lines = last_[step];
      lines.push_back(line["text"].as_string());
      if (lines.size() > 4) lines.pop_front();
    }
    const auto& steps = report["steps"].as_array();
    for (const auto& step : steps) {
      const auto& status = step["status"].as_string();
      if (is_over(status) && status != "CANCELLED" && ended_.insert(step["number"].as_int()).second) out += row(step, steps.size()) + "\n";
    }
    for (const auto& step : steps) {
      if (step["status"].as_string() != "RUNNING") continue;
      out += row(step, steps.size()) + "\n";
      ++drawn_;
      for (const auto& line : last_[step["number"].as_int()]) {
        out += "\x1b[2m" + cut(" | " + line, width_) + "\x1b[0m\n";
        ++drawn_;
      }
    }
    fmt::print(stderr, "{}", out);
  }

 private:
  std::string row(const Json& step, std::size_t count) {
    const auto& status = step["status"].as_string();
    auto right = status == "CACHED" ? "CACHED" : status == "FAILED" ? "FAILED" : seconds(step["milliseconds"].as_int());
    auto left = cut(" => " + title(step, count), width_ - right.size() - 1);
    auto space = width_ - left.size() - right.size() - 1;
    const char* colour = status == "FAILED" ? "\x1b[31m" : status == "RUNNING" ? "" : "\x1b[36m";
    return colour + left + std::string(space, ' ') + right + (*colour ? "\x1b[0m" : "");
  }
  static std::string cut(std::string text, std::size_t width) {
    for (char& c : text)
      if (static_cast<unsigned char>(c) < 32) c = ' ';
    if (text.size() > width - 1) text.resize(width - 1);
    return text;
  }

  std::size_t width_ = 100;
  int drawn_ = 0;
  std::set<std::int64_t> ended_;
  std::map<std::int64_t, std::deque<std::string>> last_;
};

}  // namespace

OnProgress show_progress() {
  if (::isatty(STDERR_FILENO) == 1) return [live = std::make_shared<Live>()](const Json& report) { live->show(report); };
  return [plain = std::make_shared<Plain>()](const Json& report) { plain->show(report); };
}

}  // namespace watari::cli
