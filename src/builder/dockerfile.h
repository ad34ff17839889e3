#pragma once
// A Dockerfile as values: parsing finds every instruction, its flags, words and here-documents, and checks its form. Nothing
// is expanded or executed here; builder/expand.h expands words when the variables are known, builder/executor.h builds.
// Pure functions, any thread.
// Source: https://docs.docker.com/reference/dockerfile/
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace watari::builder {

struct Heredoc {
  std::string name;     // the delimiter; for COPY also the file's name
  std::string content;  // leading tabs already gone for <<-
  bool expand = true;   // false when the delimiter was quoted
};

struct Flag {
  std::string name;  // without the dashes
  std::string value;
  bool has_value = false;
};

struct Instruction {
  std::string name;    // upper case
  std::string keyword; // the name as it was written
  int line = 0;        // of its first line, from 1
  std::string source;  // the instruction as one line, continuations joined, for people, errors and history
  std::vector<Flag> flags;
  std::string text;                // what follows name and flags, continuations joined
  std::vector<std::string> words;  // of `text`: quotes and escapes still in it; the array's strings when exec_form
  bool exec_form = false;          // `text` was a JSON array of strings
  std::vector<Heredoc> heredocs;
  std::vector<std::string> comments;  // the comment lines right above it, without # and blanks
  int empty_continuation = 0;         // its last line, when an empty one stands between its continued lines

  const Flag* flag(std::string_view flag_name) const;
};

// `# check=skip=Rule,Rule;error=true;experimental=all`
struct CheckDirective {
  std::set<std::string> skip, experimental;  // names of rules, or "all"
  bool error = false;
};

struct Stage {
  std::string name;      // of AS, lower case; empty when not given
  std::string base;      // not expanded
  std::string platform;  // not expanded
  Instruction from;
  std::vector<Instruction> instructions;
};

struct Dockerfile {
  std::string file;  // for messages
  char escape = '\\';
  std::vector<Instruction> global_args;  // ARG before the first FROM
  std::vector<Stage> stages;             // at least one
  CheckDirective check;
  std::vector<std::string> notes;        // accepted but without effect here, for people ("Dockerfile:1: syntax=…")
};

// InvalidArgument names file:line, quotes the line and says what was expected.
Result<Dockerfile> parse_dockerfile(std::string_view text, const std::string& file = "Dockerfile");

std::string upper(std::string_view text);
// "true", "1", "T" and their like. Source: https://pkg.go.dev/strconv#ParseBool
std::optional<bool> parse_bool(std::string_view text);

// The value of the directive (or of --check-options). InvalidArgument names the option that is not known.
Result<CheckDirective> parse_check(std::string_view text);

// One instruction out of a text ("RUN make"), for ONBUILD triggers that come with a base image.
Result<Instruction> parse_instruction(std::string_view text, const std::string& file);

// NAME=value pairs of ENV, LABEL and ARG, not expanded; `ENV name rest of line` counts as one pair.
std::vector<std::pair<std::string, std::optional<std::string>>> pairs_of(const Instruction& instruction);

// The error that every stage of the builder gives for an instruction: "Dockerfile:7: COPY a: <problem>\n  7 | COPY a".
Error error_at(const std::string& file, const Instruction& instruction, std::string_view problem,
               Code code = Code::InvalidArgument);

}  // namespace watari::builder
