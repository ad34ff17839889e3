#include "builder/file_mode.h"

#include <sys/stat.h>

#include <charconv>

#include "base/strings.h"

namespace watari::builder {
namespace {

constexpr std::uint32_t kUmask = 022;  // of a clause that names nobody, as in BuildKit

std::optional<std::uint32_t> who_of(char c) {
  switch (c) {
    case 'u': return 04700;
    case 'g': return 02070;
    case 'o': return 01007;
    case 'a': return 07777;
    default: return std::nullopt;
  }
}

std::optional<std::uint32_t> bits_of(char c) {
  switch (c) {
    case 'r': return 0444;
    case 'w': return 0222;
    case 'x': return 0111;
    case 's': return 06000;
    case 't': return 01000;
    default: return std::nullopt;
  }
}

auto wrong(std::string_view text) {
  return fail(Code::InvalidArgument, "--chmod={} is no mode; expected an octal number up to 07777, or for example u=rwX,go=rX", text);
}

}  // namespace

Result<FileMode> FileMode::parse(std::string_view text) {
  FileMode mode;
  std::uint32_t octal = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), octal, 8);
  if (problem == std::errc{} && end == text.data() + text.size()) {
    if (octal > 07777) return wrong(text);
    mode.fixed_ = octal;
    return mode;
  }
  for (const auto& clause : split(text, ',')) {
    std::size_t at = 0;
    std::uint32_t who = 0;
    for (; at < clause.size() && who_of(clause[at]); ++at) who |= *who_of(clause[at]);
    if (who == 0) who = 07777 & ~kUmask;
    if (at == clause.size()) return wrong(text);
    while (at < clause.size()) {
      Clause one{.who = who, .op = clause[at++]};
      if (one.op != '+' && one.op != '-' && one.op != '=') return wrong(text);
      if (at < clause.size() && std::string_view("ugo").contains(clause[at])) {
        one.copy = clause[at++];
      } else {
        for (; at < clause.size() && (bits_of(clause[at]) || clause[at] == 'X'); ++at) {
          if (clause[at] == 'X') one.exec_if_any = true;
          else one.bits |= *bits_of(clause[at]);
        }
      }
      mode.clauses_.push_back(one);
    }
  }
  return mode;
}

std::uint32_t FileMode::of(std::uint32_t st_mode) const {
  if (fixed_) return *fixed_;
  auto mode = st_mode & 07777;
  for (const auto& clause : clauses_) {
    auto bits = clause.bits;
    if (clause.exec_if_any && (S_ISDIR(st_mode) || (mode & 0111) != 0)) bits |= 0111;
    if (clause.copy) {
      auto shift = clause.copy == 'u' ? 6 : clause.copy == 'g' ? 3 : 0;
      bits = (mode >> shift & 7) * 0111;
    }
    bits &= clause.who;
    if (clause.op == '+') mode |= bits;
    else if (clause.op == '-') mode &= ~bits;
    else mode = (mode & ~clause.who) | bits;
  }
  return mode;
}

}  // namespace watari::builder
