#include "builder/expand.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace watari::builder {
namespace {

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
// A shell's own parameters, which are never set here. Source: POSIX, 2.5.2 Special Parameters
bool is_special(char c) { return std::string_view("@*#?-$!").contains(c); }
bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

class Expander {
 public:
  Expander(std::string_view text, const Lookup& lookup, char escape, bool keep_quotes)
      : text_(text), lookup_(lookup), escape_(escape), keep_quotes_(keep_quotes) {}

  Result<std::string> run() { return until('\0', false); }

 private:
  bool done() const { return at_ == text_.size(); }
  Result<std::string> until(char stop, bool keep_escapes);
  std::string name();
  Result<std::string> double_quoted();
  Result<std::string> dollar();
  Result<std::string> braced();
  Result<std::string> modified(const std::string& variable, std::string_view op);
  tl::unexpected<Error> wrong(std::string_view problem) const {
    return fail(Code::InvalidArgument, "{} in `{}`", problem, text_);
  }

  std::string_view text_;
  const Lookup& lookup_;
  char escape_;
  bool keep_quotes_;
  std::size_t at_ = 0;
};

// Everything up to an unquoted `stop` (which stays unread), or the end for '\0'. Patterns keep their escapes.
Result<std::string> Expander::until(char stop, bool keep_escapes) {
  std::string out;
  while (!done() && (stop == '\0' || text_[at_] != stop)) {
    char c = text_[at_];
    if (c == '$') {
      TRY(auto value, dollar());
      out += value;
    } else if (c == escape_) {
      ++at_;
      if (done()) {
        out += c;
        break;
      }
      if (keep_escapes) out += c;
      out += text_[at_++];
    } else if (c == '\'' && !keep_quotes_) {
      auto end = text_.find('\'', at_ + 1);
      if (end == std::string_view::npos) return wrong("a single quote is not closed");
      out += text_.substr(at_ + 1, end - at_ - 1);
      at_ = end + 1;
    } else if (c == '"' && !keep_quotes_) {
      TRY(auto value, double_quoted());
      out += value;
    } else {
      out += c;
      ++at_;
    }
  }
  return out;
}

Result<std::string> Expander::double_quoted() {
  std::string out;
  ++at_;
  while (!done() && text_[at_] != '"') {
    char c = text_[at_];
    if (c == '$') {
      TRY(auto value, dollar());
      out += value;
    } else if (c == escape_ && at_ + 1 < text_.size()) {
      char next = text_[at_ + 1];
      if (next != '"' && next != '$' && next != escape_) out += c;
      out += next;
      at_ += 2;
    } else {
      out += c;
      ++at_;
    }
  }
  if (done()) return wrong("a double quote is not closed");
  ++at_;
  return out;
}

Result<std::string> Expander::dollar() {
  ++at_;
  if (done()) return std::string("$");
  if (text_[at_] == '{') {
    ++at_;
    return braced();
  }
  auto variable = name();
  return variable.empty() ? std::string("$") : lookup_(variable).value_or("");
}

// A name, digits, or one special character; "" when none of them is here.
std::string Expander::name() {
  auto start = at_;
  if (!done() && is_special(text_[at_])) ++at_;
  else if (!done() && is_digit(text_[at_])) while (!done() && is_digit(text_[at_])) ++at_;
  else while (!done() && is_name(text_[at_])) ++at_;
  return std::string(text_.substr(start, at_ - start));
}

Result<std::string> Expander::braced() {
  auto variable = name();
  if (variable.empty()) return wrong("expected a variable name after ${");
  if (done()) return wrong("${ has no closing }");
  for (std::string_view op : {"}", ":-", ":+", ":?", "-", "+", "?", "##", "#", "%%", "%", "//", "/"}) {
    if (!text_.substr(at_).starts_with(op)) continue;
    at_ += op.size();
    if (op == "}") return lookup_(variable).value_or("");
    return modified(variable, op);
  }
  return wrong("expected } or one of :- :+ :? - + ? # ## % %% / // after the variable name");
}

// Where a character of several bytes is not cut apart.
bool between_characters(std::string_view text, std::size_t at) { return at == text.size() || (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80; }

std::string without_prefix(const std::string& value, const std::string& pattern, bool longest) {
  for (std::size_t i = 0; i <= value.size(); ++i) {
    auto length = longest ? value.size() - i : i;
    if (between_characters(value, length) && matches_pattern(pattern, std::string_view(value).substr(0, length), false)) return value.substr(length);
  }
  return value;
}

std::string without_suffix(const std::string& value, const std::string& pattern, bool longest) {
  for (std::size_t i = 0; i <= value.size(); ++i) {
    auto length = longest ? i : value.size() - i;
    if (between_characters(value, length) && matches_pattern(pattern, std::string_view(value).substr(length), false)) return value.substr(0, length);
  }
  return value;
}

// An empty pattern matches before, between and behind all characters.
std::string between_all(const std::string& value, const std::string& by) {
  std::string out;
  for (std::size_t i = 0; i <= value.size(); ++i) {
    if (between_characters(value, i)) out += by;
    if (i < value.size()) out += value[i];
  }
  return out;
}

std::string replaced(const std::string& value, const std::string& pattern, const std::string& by, bool all) {
  std::string out;
  std::size_t at = 0;
  if (value.empty() && matches_pattern(pattern, value, false)) return by;
  if (pattern.empty()) return all ? between_all(value, by) : by + value;
  while (at < value.size()) {
    std::size_t length = value.size() - at;
    while (length > 0 && !matches_pattern(pattern, std::string_view(value).substr(at, length), false)) --length;
    if (length == 0) {
      out += value[at++];
      continue;
    }
    out += by;
    at += length;
    if (!all) break;
  }
  return out + value.substr(at);
}

// Patterns in substitutions know * and ? only: a bracket means itself.
std::string without_sets(std::string_view pattern) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '[') out += '\\';
    out += pattern[i];
    if (pattern[i] == '\\' && i + 1 < pattern.size()) out += pattern[++i];
  }
  return out;
}

Result<std::string> Expander::modified(const std::string& variable, std::string_view op) {
  bool replace = op[0] == '/';
  bool pattern = replace || op[0] == '#' || op[0] == '%';
  TRY(auto word, until(replace ? '/' : '}', pattern));
  std::string replacement;
  if (replace) {
    if (done()) return wrong("${name/pattern/replacement} lacks its second /");
    ++at_;
    TRY(replacement, until('}', true));
  }
  if (done()) return wrong("${ has no closing }");
  ++at_;
  if (pattern) word = without_sets(word);
  auto value = lookup_(variable);
  bool set = value && (op[0] != ':' || !value->empty());
  switch (op.back()) {
    case '-': return set ? *value : word;
    case '+': return set ? word : std::string();
    case '?':
      if (!set) return wrong(fmt::format("{}: {}", variable, word.empty() ? "is not set" : word));
      return *value;
    case '#': return without_prefix(value.value_or(""), word, op == "##");
    case '%': return without_suffix(value.value_or(""), word, op == "%%");
    default: return replaced(value.value_or(""), word, replacement, op == "//");
  }
}

}  // namespace

std::vector<std::string> split_words(std::string_view text, char escape) {
  std::vector<std::string> words;
  std::string word;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quote == 0 && (c == ' ' || c == '\t')) {
      if (!word.empty()) words.push_back(std::move(word));
      word.clear();
      continue;
    }
    word += c;
    if (c == escape && quote != '\'' && i + 1 < text.size()) word += text[++i];
    else if (quote == 0 && (c == '"' || c == '\'')) quote = c;
    else if (c == quote) quote = 0;
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

Result<std::string> expand_word(std::string_view word, const Lookup& lookup, char escape) {
  return Expander(word, lookup, escape, false).run();
}

Result<std::string> expand_text(std::string_view text, const Lookup& lookup, char escape) {
  return Expander(text, lookup, escape, true).run();
}

std::string replaced_all(std::string text, std::string_view what, std::string_view by) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) text.replace(at, what.size(), by);
  return text;
}

}  // namespace watari::builder
