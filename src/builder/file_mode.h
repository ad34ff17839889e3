#pragma once
// --chmod of COPY and ADD: an octal number, or clauses as chmod(1) knows them. Pure.
// Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/chmod.html, "EXTENDED DESCRIPTION"
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace watari::builder {

class FileMode {
 public:
  // "0755", "u=rwX,go=rX". InvalidArgument says what is wrong.
  static Result<FileMode> parse(std::string_view text);
  // The number, when it was one.
  std::optional<std::uint32_t> fixed() const { return fixed_; }
  // The mode (07777) that a file of this st_mode gets.
  std::uint32_t of(std::uint32_t st_mode) const;

 private:
  struct Clause {
    std::uint32_t who = 0;     // bits that may change
    char op = '=';
    std::uint32_t bits = 0;    // of r w x s t, for all three
    bool exec_if_any = false;  // X
    char copy = 0;             // u g o: take theirs
  };
  std::optional<std::uint32_t> fixed_;
  std::vector<Clause> clauses_;
};

}  // namespace watari::builder
