#include "cli/up/progress.h"

#include <fmt/format.h>
#include <unistd.h>

namespace watari::cli::up {

void Progress::clear() {
  if (shown_) fmt::print(out_, "\r\033[K");
  shown_ = false;
}

void Progress::line(const std::string& what, const std::string& text) {
  clear();
  fmt::print(out_, "  {:<10} {}\n", what, text);
  std::fflush(out_);
}

void Progress::heading(const std::string& text) {
  clear();
  fmt::print(out_, "{}\n", text);
  std::fflush(out_);
}

void Progress::now(const std::string& text) {
  if (!::isatty(::fileno(out_))) return;
  clear();
  fmt::print(out_, "  … {:.100}", text);
  std::fflush(out_);
  shown_ = true;
}

std::string Stopwatch::text() const { return fmt::format("{:.1f} s", seconds()); }

}  // namespace watari::cli::up
