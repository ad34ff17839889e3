#pragma once
// .dockerignore: which files of a build context stay at home. Pure.
// Source: https://docs.docker.com/build/concepts/context/#dockerignore-files
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace watari::codec {

class IgnoreRules {
 public:
  // One pattern a line; # comments; "!" brings back; "**" matches any number of directories. The last matching rule decides. What leads
  // out of the context matches nothing. InvalidArgument names the line of a pattern that is none.
  static Result<IgnoreRules> parse(std::string_view text, const std::string& file = ".dockerignore");

  // `path` relative to the context, without a leading slash. A file below an ignored directory is ignored.
  bool ignores(std::string_view path) const;
  // Whether everything below the directory can be skipped: it is ignored and no "!" rule may bring back something below it.
  bool skips_directory(std::string_view path) const;
  bool empty() const { return rules_.empty(); }
  bool brings_back() const;  // whether there is a "!" rule

 private:
  struct Rule {
    std::vector<std::string> parts;  // of the pattern, split at /
    bool negated = false;
  };
  std::vector<Rule> rules_;
};

}  // namespace watari::codec
