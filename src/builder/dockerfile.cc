#include "builder/dockerfile.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <ranges>
#include <utility>

#include "base/nearest.h"
#include "base/strings.h"
#include "builder/expand.h"
#include "codec/json.h"

namespace watari::builder {

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

namespace {

struct Syntax {
  std::string_view name;
  std::string_view expected;            // said when the arguments are wrong
  std::size_t least = 1, most = SIZE_MAX;  // words
  std::string_view flags;               // accepted ones, each followed by a blank
  bool json = false;                    // a JSON array of strings is read as the exec form
  bool heredoc = false;
};

constexpr std::string_view kCopyFlags = "from chown chmod link parents exclude ";
constexpr std::array kSyntax{
    Syntax{"FROM", "FROM [--platform=linux/amd64] image [AS name]", 1, 3, "platform "},
    Syntax{"ARG", "ARG name[=value] ...", 1},
    Syntax{"ENV", "ENV name=value ...", 1},
    Syntax{"LABEL", "LABEL name=value ...", 1},
    Syntax{"COPY", "COPY [--from=stage] [--chown=user:group] [--chmod=mode] [--link] [--parents] [--exclude=pattern] source ... destination", 2, SIZE_MAX, kCopyFlags, true, true},
    Syntax{"ADD", "ADD [--chown=user:group] [--chmod=mode] [--checksum=sha256:...] [--link] [--exclude=pattern] source ... destination", 2,
           SIZE_MAX, "chown chmod link checksum keep-git-dir unpack exclude ", true, true},
    Syntax{"RUN", "RUN command, or RUN [\"program\", \"argument\"]", 1, SIZE_MAX, "mount network security ", true, true},
    Syntax{"CMD", "CMD command, or CMD [\"program\", \"argument\"]", 0, SIZE_MAX, "", true},
    Syntax{"ENTRYPOINT", "ENTRYPOINT command, or ENTRYPOINT [\"program\", \"argument\"]", 0, SIZE_MAX, "", true},
    Syntax{"WORKDIR", "WORKDIR directory", 1},
    Syntax{"USER", "USER user[:group]", 1, 1},
    Syntax{"EXPOSE", "EXPOSE port[/tcp|/udp] ...", 1},
    Syntax{"VOLUME", "VOLUME directory ..., or VOLUME [\"directory\"]", 1, SIZE_MAX, "", true},
    Syntax{"HEALTHCHECK", "HEALTHCHECK [--interval=30s] [--timeout=30s] [--start-period=0s] [--retries=3] CMD command, or HEALTHCHECK NONE", 1,
           SIZE_MAX, "interval timeout start-period start-interval retries "},
    Syntax{"STOPSIGNAL", "STOPSIGNAL signal", 1, 1},
    Syntax{"SHELL", "SHELL [\"program\", \"argument\"]", 1, SIZE_MAX, "", true},
    Syntax{"ONBUILD", "ONBUILD instruction", 1},
    Syntax{"MAINTAINER", "MAINTAINER name", 1},
};

const Syntax* syntax_of(std::string_view name) {
  auto found = std::ranges::find(kSyntax, name, &Syntax::name);
  return found == kSyntax.end() ? nullptr : &*found;
}

std::string_view without_return(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// The physical lines of the file; of a file from Windows with their \r, which here-documents keep.
std::vector<std::string> lines_of(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return split(text, '\n');
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& file) : lines_(lines_of(text)) { parsed_.file = file; }

  Result<Dockerfile> parse() {
    TRY_VOID(read_directives());
    while (at_ < lines_.size()) {
      auto line = trim(lines_[at_]);
      if (line.empty() || line.starts_with('#')) {
        if (line.empty()) comments_.clear();
        else comments_.emplace_back(trim(line.substr(1)));
        ++at_;
        continue;
      }
      TRY(auto instruction, next_instruction());
      TRY_VOID(place(std::move(instruction)));
    }
    if (parsed_.stages.empty())
      return fail(Code::InvalidArgument, "{}: no FROM instruction; a Dockerfile starts with `FROM image`", parsed_.file);
    return std::move(parsed_);
  }

  Result<Instruction> next_instruction();
  void set_escape(char escape) { parsed_.escape = escape; }

 private:
  Result<void> read_directives();
  Result<void> place(Instruction instruction);
  Result<void> start_stage(Instruction instruction);
  std::string join_lines();
  Result<void> read_flags(Instruction& instruction, std::string_view& rest, const Syntax& syntax);
  Result<void> check_flag(const Instruction& instruction, const Flag& flag);
  Result<void> read_heredocs(Instruction& instruction);
  Result<void> check_form(const Instruction& instruction, const Syntax& syntax);
  Error error(const Instruction& instruction, std::string_view problem) {
    return error_at(parsed_.file, instruction, problem);
  }

  std::vector<std::string> lines_;
  std::size_t at_ = 0;
  std::vector<std::string> comments_;  // above the next instruction
  int empty_continuation_ = 0;         // see Instruction; of the lines that join_lines() took last
  Dockerfile parsed_;
};

// Directives stand before anything else: the first line that is not one ends them, even a comment.
Result<void> Parser::read_directives() {
  std::vector<std::string> seen;
  for (; at_ < lines_.size(); ++at_) {
    auto line = trim(lines_[at_]);
    if (!line.starts_with('#')) break;
    auto body = trim(line.substr(1));
    auto equals = body.find('=');
    if (equals == std::string_view::npos) break;
    auto name = to_lower(trim(body.substr(0, equals)));
    auto value = trim(body.substr(equals + 1));
    if (name != "escape" && name != "syntax" && name != "check") break;
    auto place = fmt::format("{}:{}", parsed_.file, at_ + 1);
    if (std::ranges::find(seen, name) != seen.end())
      return fail(Code::InvalidArgument, "{}: the directive {} stands here twice: {}", place, name, line);
    seen.push_back(name);
    if (name == "escape") {
      if (value != "\\" && value != "`")
        return fail(Code::InvalidArgument, "{}: {}: the escape character is \\ or `", place, line);
      parsed_.escape = value[0];
    } else if (name == "check") {
      TRY(parsed_.check, parse_check(value).map_error([&](Error e) { return std::move(e).within(place); }));
    } else {
      parsed_.notes.push_back(fmt::format("{}: {}={} is noted; this builder reads the file itself", place, name, value));
    }
  }
  return {};
}

// Takes the lines of one instruction: comments and empty lines between continued ones do not count.
std::string Parser::join_lines() {
  std::string joined;
  bool empty = false;
  while (at_ < lines_.size()) {
    auto line = without_return(lines_[at_++]);
    auto trimmed = trim(line);
    if (!joined.empty() && (trimmed.empty() || trimmed.starts_with('#'))) {
      empty = empty || trimmed.empty();
      continue;
    }
    if (joined.empty()) line = line.substr(line.find_first_not_of(" \t"));
    auto end = line.find_last_not_of(" \t");
    if (end == std::string_view::npos || line[end] != parsed_.escape) {
      joined += line;
      break;
    }
    joined += line.substr(0, end);
    if (joined.empty()) joined = " ";
  }
  empty_continuation_ = empty ? static_cast<int>(at_) : 0;
  return std::string(trim(joined));
}

// Source: https://docs.docker.com/reference/dockerfile/#here-documents (digits before << are a descriptor, as in a shell)
std::optional<Heredoc> heredoc_start(std::string_view word, bool& strip_tabs) {
  while (!word.empty() && std::isdigit(static_cast<unsigned char>(word[0]))) word.remove_prefix(1);
  if (!word.starts_with("<<")) return std::nullopt;
  word.remove_prefix(2);
  strip_tabs = word.starts_with('-');
  if (strip_tabs) word.remove_prefix(1);
  if (word.empty() || word.find_first_of("<>|&;()") != std::string_view::npos) return std::nullopt;
  Heredoc heredoc;
  for (char c : word) {
    if (c == '"' || c == '\'') heredoc.expand = false;
    else if (c != '\\') heredoc.name += c;
  }
  if (heredoc.name.empty()) return std::nullopt;
  return heredoc;
}

Result<void> Parser::read_heredocs(Instruction& instruction) {
  for (const auto& word : split_words(instruction.text, parsed_.escape)) {
    bool strip_tabs = false;
    auto heredoc = heredoc_start(word, strip_tabs);
    if (!heredoc) continue;
    for (bool ended = false; !ended;) {
      if (at_ == lines_.size())
        return fail(error(instruction, fmt::format("the here-document <<{} has no end; expected a line `{}`", heredoc->name, heredoc->name)));
      std::string_view line = lines_[at_++];
      while (strip_tabs && line.starts_with('\t')) line.remove_prefix(1);
      ended = without_return(line) == heredoc->name;
      if (!ended) heredoc->content.append(line).append("\n");
    }
    instruction.heredocs.push_back(std::move(*heredoc));
  }
  return {};
}

// Of which form a flag is. Source: moby/buildkit frontend/dockerfile/instructions/bflag.go
Result<void> Parser::check_flag(const Instruction& instruction, const Flag& flag) {
  static constexpr std::string_view kBool = " link parents keep-git-dir unpack ", kMany = " exclude mount ";
  auto in = [&](std::string_view list) { return list.contains(" " + flag.name + " "); };
  if (instruction.flag(flag.name) && !in(kMany)) return fail(error(instruction, fmt::format("--{} is given twice; expected once", flag.name)));
  auto value = to_lower(flag.value);
  if (in(kBool) && !value.empty() && value != "true" && value != "false")
    return fail(error(instruction, fmt::format("--{}={} is neither true nor false", flag.name, flag.value)));
  if (!in(kBool) && !flag.has_value) return fail(error(instruction, fmt::format("--{} has no value; expected --{}=...", flag.name, flag.name)));
  return {};
}

// Flags lose their quotes and escapes at once, variables in them are replaced later.
// Source: moby/buildkit frontend/dockerfile/parser/split_command.go
std::string without_quotes(std::string_view word, char escape) {
  std::string out;
  char quote = 0;
  for (std::size_t i = 0; i < word.size(); ++i) {
    char c = word[i];
    if (c == escape) {
      if (++i < word.size()) out += word[i];
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      out += c;
    }
  }
  return out;
}

// Flags come right after the name: --name=value or --name; -- ends them.
Result<void> Parser::read_flags(Instruction& instruction, std::string_view& rest, const Syntax& syntax) {
  if (syntax.flags.empty()) return {};
  while (rest.starts_with("--")) {
    auto word = split_words(rest, parsed_.escape).front();
    rest.remove_prefix(word.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (word == "--") break;
    word = without_quotes(word, parsed_.escape);
    Flag flag;
    auto equals = word.find('=');
    flag.name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    flag.has_value = equals != std::string::npos;
    if (flag.has_value) flag.value = word.substr(equals + 1);
    if (!(" " + std::string(syntax.flags)).contains(" " + flag.name + " "))
      return fail(error(instruction, fmt::format("unknown flag --{}{}; expected {}", flag.name, did_you_mean(flag.name, split(trim(syntax.flags), ' '), "--"), syntax.expected)));
    TRY_VOID(check_flag(instruction, flag));
    instruction.flags.push_back(std::move(flag));
  }
  return {};
}

// A text that is no JSON array is a shell command, as in Docker. False for an array of other things than strings.
bool read_exec_form(Instruction& instruction) {
  if (!instruction.text.starts_with('[')) return true;
  auto json = codec::parse_json(instruction.text);
  if (!json || !json->is_array()) return true;
  std::vector<std::string> words;
  for (const auto& item : json->as_array()) {
    if (!item.is_string()) return false;
    words.push_back(item.as_string());
  }
  instruction.words = std::move(words);
  instruction.exec_form = true;
  return true;
}

Result<Instruction> Parser::next_instruction() {
  Instruction instruction;
  instruction.line = static_cast<int>(at_) + 1;
  instruction.comments = std::exchange(comments_, {});
  instruction.source = join_lines();
  instruction.empty_continuation = empty_continuation_;
  std::string_view rest = instruction.source;
  auto end = std::min(rest.find_first_of(" \t"), rest.size());
  instruction.keyword = std::string(rest.substr(0, end));
  instruction.name = upper(instruction.keyword);
  rest = trim(rest.substr(end));
  const Syntax* syntax = syntax_of(instruction.name);
  if (!syntax) {
    std::string known;
    for (const auto& each : kSyntax) known += (known.empty() ? "" : ", ") + std::string(each.name);
    return fail(error(instruction, fmt::format("unknown instruction {}{}; expected one of {}", instruction.name, did_you_mean(instruction.name, kSyntax | std::views::transform(&Syntax::name)), known)));
  }
  TRY_VOID(read_flags(instruction, rest, *syntax));
  instruction.text = std::string(rest);
  if (syntax->json && !read_exec_form(instruction)) return fail(error(instruction, "a JSON array here takes strings only; expected for example [\"echo\", \"1\"]"));
  if (!instruction.exec_form) instruction.words = split_words(rest, parsed_.escape);
  bool onbuild = instruction.name == "ONBUILD";
  if ((syntax->heredoc && !instruction.exec_form) || onbuild) TRY_VOID(read_heredocs(instruction));
  // A trigger carries its here-documents with it, as they would stand in a file.
  if (onbuild)
    for (const auto& document : std::exchange(instruction.heredocs, {})) instruction.text += "\n" + document.content + document.name;
  TRY_VOID(check_form(instruction, *syntax));
  return instruction;
}

Result<void> Parser::check_form(const Instruction& instruction, const Syntax& syntax) {
  auto expected = [&](std::string_view problem) {
    return fail(error(instruction, fmt::format("{}; expected {}", problem, syntax.expected)));
  };
  auto count = instruction.words.size();
  if (count < syntax.least) return expected(count == 0 ? "nothing follows it" : "too few arguments");
  if (count > syntax.most) return expected("too many arguments");
  const auto& name = instruction.name;
  if (name == "FROM" && (count == 2 || (count == 3 && to_lower(instruction.words[1]) != "as"))) return expected("not understood");
  if (name == "SHELL" && !instruction.exec_form) return expected("not a JSON array");
  if (name == "ENV" && count == 1 && !instruction.words[0].contains('=')) return expected("no value");
  if (name == "LABEL" && count == 1 && !instruction.words[0].contains('=')) return expected("no value");
  if (name == "ENV" || name == "LABEL" || name == "ARG") {
    for (const auto& [key, value] : pairs_of(instruction))
      if (key.empty()) return expected("a name is empty");
    bool pairs = name == "ARG" || instruction.words[0].contains('=');
    for (const auto& word : instruction.words)
      if (name != "ARG" && pairs && !word.contains('='))
        return expected(fmt::format("`{}` has no value (quote a value that holds blanks)", word));
  }
  if (name == "HEALTHCHECK") {
    auto kind = upper(instruction.words[0]);
    if (kind != "NONE" && kind != "CMD") return expected(fmt::format("`{}` is neither CMD nor NONE", instruction.words[0]));
    if (kind == "CMD" && count < 2) return expected("CMD has no command");
    if (kind == "NONE" && count > 1) return expected("NONE takes no arguments");
  }
  if (name == "ONBUILD") {
    auto trigger = upper(instruction.words[0]);
    if (trigger == "ONBUILD" || trigger == "FROM" || trigger == "MAINTAINER")
      return expected(fmt::format("{} cannot be a trigger", trigger));
    TRY_VOID(parse_instruction(instruction.text, parsed_.file).map_error([&](Error e) {
      return error(instruction, e.message);
    }));
  }
  return {};
}

bool valid_stage_name(std::string_view name) {
  if (name.empty() || !std::isalpha(static_cast<unsigned char>(name[0]))) return false;
  return std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; });
}

Result<void> Parser::start_stage(Instruction instruction) {
  Stage stage;
  stage.base = instruction.words[0];
  if (const Flag* platform = instruction.flag("platform")) stage.platform = platform->value;
  if (instruction.words.size() == 3) {
    stage.name = to_lower(instruction.words[2]);
    if (!valid_stage_name(stage.name))
      return fail(error(instruction, fmt::format("`{}` is no stage name; expected a letter, then letters, digits, - _ .", instruction.words[2])));
  }
  stage.from = std::move(instruction);
  parsed_.stages.push_back(std::move(stage));
  return {};
}

Result<void> Parser::place(Instruction instruction) {
  if (instruction.name == "FROM") return start_stage(std::move(instruction));
  if (!parsed_.stages.empty()) {
    parsed_.stages.back().instructions.push_back(std::move(instruction));
  } else if (instruction.name == "ARG") {
    parsed_.global_args.push_back(std::move(instruction));
  } else {
    return fail(error(instruction, fmt::format("{} before the first FROM; expected FROM or ARG", instruction.name)));
  }
  return {};
}

}  // namespace

const Flag* Instruction::flag(std::string_view flag_name) const {
  auto found = std::ranges::find(flags, flag_name, &Flag::name);
  return found == flags.end() ? nullptr : &*found;
}

Result<CheckDirective> parse_check(std::string_view text) {
  CheckDirective check;
  for (const auto& part : split(text, ';')) {
    auto equals = part.find('=');
    auto name = trim(std::string_view(part).substr(0, equals));
    auto value = equals == std::string::npos ? std::string_view() : trim(std::string_view(part).substr(equals + 1));
    if (trim(part).empty()) continue;
    if (name == "error" && parse_bool(value)) {
      check.error = *parse_bool(value);
    } else if ((name == "skip" || name == "experimental") && !value.empty()) {
      auto& rules = name == "skip" ? check.skip : check.experimental;
      for (const auto& rule : split(value, ',')) rules.emplace(trim(rule));
    } else {
      return fail(Code::InvalidArgument, "check: `{}` is not known; expected skip=Rule,Rule, skip=all, error=true or experimental=Rule", trim(part));
    }
  }
  return check;
}

std::optional<bool> parse_bool(std::string_view text) {
  static constexpr std::string_view kTrue = " 1 t T true True TRUE ", kFalse = " 0 f F false False FALSE ";
  auto word = fmt::format(" {} ", text);
  if (kTrue.contains(word)) return true;
  return kFalse.contains(word) ? std::optional(false) : std::nullopt;
}

Result<Dockerfile> parse_dockerfile(std::string_view text, const std::string& file) { return Parser(text, file).parse(); }

Result<Instruction> parse_instruction(std::string_view text, const std::string& file) {
  if (trim(text).empty()) return fail(Code::InvalidArgument, "{}: an empty instruction", file);
  return Parser(trim(text), file).next_instruction();
}

std::vector<std::pair<std::string, std::optional<std::string>>> pairs_of(const Instruction& instruction) {
  std::vector<std::pair<std::string, std::optional<std::string>>> pairs;
  bool old_form = instruction.name != "ARG" && !instruction.words.empty() && !instruction.words[0].contains('=');
  if (old_form) {
    auto rest = trim(std::string_view(instruction.text).substr(instruction.words[0].size()));
    pairs.emplace_back(instruction.words[0], std::string(rest));
    return pairs;
  }
  for (const auto& word : instruction.words) {
    auto equals = word.find('=');
    if (equals == std::string::npos) pairs.emplace_back(word, std::nullopt);
    else pairs.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return pairs;
}

Error error_at(const std::string& file, const Instruction& instruction, std::string_view problem, Code code) {
  std::string_view quoted = instruction.source;
  bool cut = quoted.size() > 160;
  return Error{code, fmt::format("{}:{}: {}\n  {} | {}{}", file, instruction.line, problem, instruction.line,
                                 quoted.substr(0, 160), cut ? " ..." : "")};
}

}  // namespace watari::builder
