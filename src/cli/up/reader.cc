#include "cli/up/reader.h"

#include <algorithm>

#include "base/nearest.h"
#include "base/strings.h"

namespace watari::cli::up {
namespace {

using Kind = codec::Yaml::Kind;

const char* kind_of(const codec::Yaml& at) {
  switch (at.kind) {
    case Kind::Null: return "nothing";
    case Kind::Scalar: return "text";
    case Kind::List: return "a list";
    case Kind::Map: return "a map";
  }
  return "nothing";
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  auto least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    auto d = edits_between(word, candidate);
    bool related = word.size() > 3 && (candidate.starts_with(word) || word.starts_with(candidate));
    if (related) d = std::min<std::size_t>(d, 2);
    if (d < least) best = candidate, least = d;
  }
  return best;
}

void Reader::wrong(const Yaml& at, const std::string& what) {
  mistakes_.emplace(std::pair(at.line, at.column), fmt::format("{}:{}:{}: {}", file_, at.line, at.column, what));
}

void Reader::map(const Yaml& at, const Fields& fields) {
  std::vector<std::string> known;
  for (const auto& [key, take] : fields) known.push_back(key);
  each(at, [&](const Yaml& key, const Yaml& value) {
    auto field = std::ranges::find(fields, key.text, [](const auto& f) { return f.first; });
    if (field != fields.end()) return field->second(value);
    auto meant = nearest(key.text, known);
    wrong(key, fmt::format("unknown key {}{} (accepted: {})", key.text, meant.empty() ? "" : ": did you mean " + meant + "?",
                           join(known, ", ")));
  });
}

void Reader::each(const Yaml& at, const std::function<void(const Yaml&, const Yaml&)>& visit) {
  if (at.kind == Kind::Null) return;
  if (at.kind != Kind::Map) return wrong(at, fmt::format("expected keys and values, found {}", kind_of(at)));
  for (std::size_t i = 0; i < at.keys.size(); ++i) visit(at.keys[i], at.items[i]);
}

void Reader::list(const Yaml& at, const std::function<void(const Yaml&)>& visit) {
  if (at.kind == Kind::Null) return;
  if (at.kind != Kind::List) return wrong(at, fmt::format("expected a list, found {}", kind_of(at)));
  for (const auto& item : at.items) visit(item);
}

std::string Reader::text(const Yaml& at) {
  if (at.kind != Kind::Scalar) {
    wrong(at, fmt::format("expected text, found {}", kind_of(at)));
    return {};
  }
  std::string out;
  std::string_view rest = at.text;
  while (true) {
    auto dollar = rest.find('$');
    out += rest.substr(0, dollar);
    if (dollar == std::string_view::npos) return out;
    rest.remove_prefix(dollar);
    if (rest.starts_with("$$")) {
      out += '$';
      rest.remove_prefix(2);
      continue;
    }
    auto end = rest.find('}');
    if (!rest.starts_with("${") || end == std::string_view::npos) {  // $HOME and the like are left to the shell
      out += '$';
      rest.remove_prefix(1);
      continue;
    }
    auto variable = std::string(rest.substr(2, end - 2));
    auto found = variables_.find(variable);
    if (found != variables_.end()) {
      out += found->second;
    } else {
      std::vector<std::string> known;
      for (const auto& [each_name, value] : variables_) known.push_back("${" + each_name + "}");
      wrong(at, fmt::format("unknown variable ${{{}}} (known: {}; write $${{{}}} to leave it to the container)", variable,
                            join(known, ", "), variable));
    }
    rest.remove_prefix(end + 1);
  }
}

std::string Reader::name(const Yaml& at) {
  auto value = text(at);
  bool good = !value.empty() && value.size() <= 32 && value.front() != '-' && value.back() != '-' &&
              value.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  if (!good && !value.empty()) wrong(at, fmt::format("{} is no name (accepted: at most 32 lower-case letters, digits and dashes)", value));
  return value;
}

std::int64_t Reader::number(const Yaml& at, std::int64_t least, std::int64_t most) {
  auto value = text(at);
  auto parsed = parse_number<std::int64_t>(value);
  if (at.kind == Kind::Scalar && (!parsed || *parsed < least || *parsed > most))
    wrong(at, fmt::format("{} is no number from {} to {}", value.empty() ? "this" : value, least, most));
  return parsed.value_or(least);
}

bool Reader::boolean(const Yaml& at) {
  auto value = text(at);
  if (value != "true" && value != "false") wrong(at, value + " is neither true nor false");
  return value == "true";
}

Seconds Reader::duration(const Yaml& at) {
  auto value = text(at);
  std::int64_t unit = 1;
  auto digits = value;
  for (auto [suffix, seconds] : {std::pair('s', 1), std::pair('m', 60), std::pair('h', 3600)})
    if (value.ends_with(suffix)) unit = seconds, digits.pop_back();
  auto count = parse_number<std::int64_t>(digits);
  if (!count || *count < 0 || *count > 1'000'000) {
    if (at.kind == Kind::Scalar) wrong(at, value + " is no duration (accepted: 30, 30s, 5m, 1h)");
    return Seconds(0);
  }
  return Seconds(*count * unit);
}

std::int64_t Reader::mebibytes(const Yaml& at) {
  auto value = to_lower(text(at));
  std::int64_t unit = 1;
  auto digits = value;
  if (value.ends_with('m')) digits.pop_back();
  if (value.ends_with('g')) digits.pop_back(), unit = 1024;
  auto count = parse_number<std::int64_t>(digits);
  if (!count || *count < 4 / unit || *count > 16'777'216) {
    if (at.kind == Kind::Scalar) wrong(at, value + " is no amount of memory (accepted: 512 or 512m for MiB, 2g for GiB; at least 4m)");
    return 4;
  }
  return *count * unit;
}

std::vector<std::string> Reader::command(const Yaml& at, bool health) {
  if (at.kind == Kind::List) {
    std::vector<std::string> words;
    if (health) words.push_back("CMD");
    list(at, [&](const Yaml& item) { words.push_back(text(item)); });
    if (words.size() == (health ? 1 : 0)) wrong(at, "an empty command");
    return words;
  }
  auto line = text(at);
  if (line.empty() && at.kind == Kind::Scalar) wrong(at, "an empty command");
  if (health) return {"CMD-SHELL", line};
  return {"/bin/sh", "-c", line};
}

std::map<std::string, std::string> Reader::texts(const Yaml& at) {
  std::map<std::string, std::string> out;
  each(at, [&](const Yaml& key, const Yaml& value) {
    out[key.text] = value.kind == Kind::Null ? "" : text(value);
  });
  return out;
}

std::string Reader::word(const Yaml& at, const std::vector<std::string>& words) {
  auto value = text(at);
  if (std::ranges::find(words, value) != words.end()) return value;
  if (at.kind == Kind::Scalar) wrong(at, fmt::format("{} is not known here (accepted: {})", value, join(words, ", ")));
  return words.front();
}

Result<void> Reader::finish() const {
  if (mistakes_.empty()) return {};
  std::vector<std::string> lines;
  for (const auto& [place, line] : mistakes_) lines.push_back(line);
  return fail(Code::InvalidArgument, "{}", join(lines, "\n"));
}

}  // namespace watari::cli::up
