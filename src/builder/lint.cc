#include "builder/lint.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "base/strings.h"
#include "builder/expand.h"
#include "codec/ignore.h"
#include "oci/reference.h"

namespace watari::builder {
namespace {

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

// How many letters must change, come or go to make `b` of `a`.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto corner = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      auto above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, corner + (a[i - 1] == b[j - 1] ? 0 : 1)});
      corner = above;
    }
  }
  return row.back();
}

std::string did_you_mean(const std::string& name, const Variables& known, std::string_view before) {
  std::string best;
  std::size_t least = 3;
  for (const auto& [each, value] : known)
    if (auto far = distance(name, each); far < least && far < name.size()) {
      least = far;
      best = each;
    }
  return best.empty() ? best : fmt::format(" (did you mean {}{}?)", before, best);
}

}  // namespace

bool looks_secret(std::string_view name) {
  static constexpr std::array<std::string_view, 10> kSecret{"apikey", "auth", "credential", "credentials", "key",
                                                             "password", "pword", "passwd", "secret", "token"};
  static constexpr std::array<std::string_view, 3> kHarmless{"public", "file", "version"};
  auto words = split(to_lower(name), '_');
  auto has = [&](const auto& list) {
    return std::ranges::any_of(words, [&](const auto& word) { return std::ranges::find(list, word) != list.end(); });
  };
  return has(kSecret) && !has(kHarmless);
}

namespace {

class Linter {
 public:
  Linter(const Dockerfile& file, const Plan* plan, codec::IgnoreRules ignored) : file_(file), plan_(plan), ignored_(std::move(ignored)) {}

  std::vector<Warning> run() {
    for (const auto& arg : file_.global_args) global_arg(arg);
    casing();
    for (const auto& stage : file_.stages) this->stage(stage);
    std::ranges::sort(found_, {}, [](const Warning& each) { return std::tuple(each.line, each.rule, each.message); });
    return std::move(found_);
  }

 private:
  void warn(std::string_view rule, const Instruction& at, std::string message) {
    bool experimental = rule == "InvalidDefinitionDescription";
    const auto& check = file_.check;
    if (check.skip.contains(std::string(rule)) || check.skip.contains("all")) return;
    if (experimental && !check.experimental.contains(std::string(rule)) && !check.experimental.contains("all")) return;
    found_.push_back({std::string(rule), at.line, std::move(message), at.source.substr(0, 160)});
  }

  // Expands for its findings only: which variables a word uses, and which of them are not known.
  struct Used {
    std::string text;
    std::set<std::string> known, unknown;
    bool valid = true;
  };
  Used uses_of(const std::string& word, const Variables& variables) const {
    Used used;
    auto look = [&](const std::string& name) -> std::optional<std::string> {
      auto found = variables.find(name);
      (found == variables.end() ? used.unknown : used.known).insert(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
    auto text = expand_word(word, look, file_.escape);
    used.valid = text.has_value();
    used.text = text.value_or("");
    return used;
  }

  void global_arg(const Instruction& arg);
  void casing();
  void stage(const Stage& stage);
  void from(const Stage& stage);
  void from_platform(const Stage& stage);
  void description(const Instruction& at, std::string_view kind, const std::string& name);
  void instruction(const Instruction& at);
  void variables_of(const Instruction& at);
  void define(const Instruction& at);
  void once(const Instruction& at);
  void expose(const Instruction& at);
  void copy(const Instruction& at);
  Variables begin_variables(const Stage& stage);

  const Dockerfile& file_;
  const Plan* plan_;
  codec::IgnoreRules ignored_;
  Variables global_ = platform_variables(), defaults_ = platform_variables();  // with --build-arg, and without
  std::map<std::string, Variables> of_stages_;
  std::map<std::string, std::set<std::string>> declared_of_stages_;
  std::set<std::string> stage_names_;
  // Of the stage that is looked at.
  Variables variables_;
  std::set<std::string> declared_;  // ARGs, with and without a value
  std::map<std::string, const Instruction*> seen_;
  bool workdir_set_ = false, shell_set_ = false;
  std::vector<Warning> found_;
};

void Linter::global_arg(const Instruction& arg) {
  for (const auto& [name, value] : pairs_of(arg)) {
    description(arg, "build argument", name);
    if (value) defaults_[name] = uses_of(*value, defaults_).text;
    else defaults_.try_emplace(name, "");
    global_[name] = defaults_[name];
    if (plan_ && plan_->given.contains(name)) global_[name] = plan_->given.at(name);
  }
}

void Linter::casing() {
  std::vector<const Instruction*> all;
  for (const auto& stage : file_.stages) {
    all.push_back(&stage.from);
    for (const auto& each : stage.instructions) all.push_back(&each);
  }
  auto lower = std::ranges::count_if(all, [](const auto* each) { return each->keyword == to_lower(each->keyword); });
  auto capital = std::ranges::count_if(all, [](const auto* each) { return each->keyword == each->name; });
  bool most_lower = lower > capital;
  for (const auto* each : all) {
    if (each->keyword != (most_lower ? to_lower(each->keyword) : each->name))
      warn("ConsistentInstructionCasing", *each, fmt::format("Command '{}' should match the case of the command majority ({})", each->keyword,
                                                             most_lower ? "lowercase" : "uppercase"));
  }
  for (const auto& arg : file_.global_args) all.push_back(&arg);
  for (const auto* each : all)
    if (each->empty_continuation) warn("NoEmptyContinuation", *each, "Empty continuation line");
}

void Linter::description(const Instruction& at, std::string_view kind, const std::string& name) {
  if (at.comments.empty() || at.comments.back().empty() || at.comments.back().starts_with("check=")) return;
  const auto& comment = at.comments.back();
  if (comment != name && !comment.starts_with(name + " "))
    warn("InvalidDefinitionDescription", at, fmt::format("Comment for {} should follow the format: `# {} <description>`", kind, name));
}

void Linter::from(const Stage& stage) {
  const auto& at = stage.from;
  if (at.words.size() == 3) {
    const auto& written = at.words[2];
    if (written != to_lower(written)) warn("StageNameCasing", at, fmt::format("Stage name '{}' should be lowercase", written));
    bool lower = at.keyword == to_lower(at.keyword), as_lower = at.words[1] == to_lower(at.words[1]);
    bool capital = at.keyword == upper(at.keyword), as_capital = at.words[1] == upper(at.words[1]);
    if ((lower && !as_lower) || (capital && !as_capital))
      warn("FromAsCasing", at, fmt::format("'{}' and '{}' keywords' casing do not match", at.words[1], at.keyword));
    if (stage.name == "scratch" || stage.name == "context")
      warn("ReservedStageName", at, fmt::format("Stage name should not use the same name as reserved stage \"{}\"", stage.name));
    if (!stage_names_.insert(stage.name).second)
      warn("DuplicateStageName", at, fmt::format("Duplicate stage name \"{}\", stage names should be unique", stage.name));
    description(at, "build stage", written);
  }
  for (const auto& name : uses_of(stage.base, global_).unknown)
    warn("UndefinedArgInFrom", at, fmt::format("FROM argument '{}' is not declared{}", name, did_you_mean(name, global_, "")));
  auto plain = uses_of(stage.base, defaults_);
  bool fits = plain.text == "scratch" || (!plain.text.empty() && oci::parse_reference(plain.text));
  if (plain.valid && !fits && stage.base.contains('$'))
    warn("InvalidDefaultArgInFrom", at, fmt::format("Default value for ARG {} results in empty or invalid base image name", stage.base));
}

void Linter::from_platform(const Stage& stage) {
  if (stage.platform.empty()) return;
  auto used = uses_of(stage.platform, global_);
  for (const auto& name : used.unknown)
    warn("UndefinedArgInFrom", stage.from, fmt::format("FROM argument '{}' is not declared{}", name, did_you_mean(name, global_, "")));
  bool lone = used.known.size() == 1 && used.unknown.empty();
  if (lone && used.known.contains("TARGETPLATFORM") && used.text == global_.at("TARGETPLATFORM"))
    warn("RedundantTargetPlatform", stage.from, fmt::format("Setting platform to predefined {} in FROM is redundant as this is the default behavior", stage.platform));
  auto parts = split(used.text, '/');
  bool named = std::ranges::any_of(parts, [&](const auto& part) { return stage.name.contains(part); });
  if (used.known.empty() && used.unknown.empty() && !named)
    warn("FromPlatformFlagConstDisallowed", stage.from, fmt::format("FROM --platform flag should not use constant value \"{}\"", used.text));
}

// What a stage sees before its first instruction.
Variables Linter::begin_variables(const Stage& stage) {
  auto base = to_lower(uses_of(stage.base, global_).text);
  declared_.clear();
  if (auto parent = of_stages_.find(base); parent != of_stages_.end()) {
    declared_ = declared_of_stages_[base];
    return parent->second;
  }
  Variables variables{{"PATH", ""}};
  if (!plan_) return variables;
  for (const auto& planned : plan_->stages) {
    if (planned.from.line != stage.from.line || !planned.base) continue;
    for (const auto& pair : planned.base->config.env) variables[pair.substr(0, pair.find('='))] = pair.substr(std::min(pair.find('='), pair.size() - 1) + 1);
  }
  return variables;
}

void Linter::stage(const Stage& stage) {
  from(stage);
  from_platform(stage);
  variables_ = begin_variables(stage);
  seen_.clear();
  workdir_set_ = shell_set_ = false;
  for (const auto& each : stage.instructions) instruction(each);
  if (stage.name.empty()) return;
  of_stages_[stage.name] = variables_;
  declared_of_stages_[stage.name] = declared_;
}

void Linter::instruction(const Instruction& at) {
  const auto& name = at.name;
  variables_of(at);
  define(at);
  if (name == "CMD" || name == "ENTRYPOINT" || name == "HEALTHCHECK") once(at);
  if ((name == "CMD" || name == "ENTRYPOINT") && !at.exec_form && !shell_set_)
    warn("JSONArgsRecommended", at, fmt::format("JSON arguments recommended for {} to prevent unintended behavior related to OS signals", name));
  if (name == "SHELL") shell_set_ = true;
  if (name == "MAINTAINER") warn("MaintainerDeprecated", at, "Maintainer instruction is deprecated in favor of using label");
  if (name == "WORKDIR") {
    if (!workdir_set_ && !uses_of(at.text, variables_).text.starts_with('/'))
      warn("WorkdirRelativePath", at, fmt::format("Relative workdir \"{}\" can have unexpected results if the base image changes", at.text));
    workdir_set_ = true;
  }
  if (name == "EXPOSE") expose(at);
  if (name == "COPY" || name == "ADD") copy(at);
}

// Words that the builder expands; what a shell expands is its own business.
void Linter::variables_of(const Instruction& at) {
  static const std::set<std::string_view> kExpanded{"ARG", "ENV", "LABEL", "COPY", "ADD", "WORKDIR", "USER", "EXPOSE", "VOLUME", "STOPSIGNAL"};
  std::vector<std::string> words = kExpanded.contains(at.name) ? at.words : std::vector<std::string>{};
  for (const auto& flag : at.flags) words.push_back(flag.value);
  if (at.name == "COPY" || at.name == "ADD")
    for (const auto& document : at.heredocs)
      if (document.expand) words.push_back(document.content);
  std::set<std::string> unknown;
  for (const auto& word : words) unknown.merge(uses_of(word, variables_).unknown);
  for (const auto& name : unknown)
    if (!declared_.contains(name))
      warn("UndefinedVar", at, fmt::format("Usage of undefined variable '${}'{}", name, did_you_mean(name, variables_, "$")));
}

void Linter::define(const Instruction& at) {
  if (at.name != "ARG" && at.name != "ENV" && at.name != "LABEL") return;
  bool legacy = at.name != "ARG" && !at.words[0].contains('=');
  if (legacy) warn("LegacyKeyValueFormat", at, fmt::format("\"{0} key=value\" should be used instead of legacy \"{0} key value\" format", at.name));
  if (at.name == "LABEL") return;
  for (const auto& [name, value] : pairs_of(at)) {
    if (looks_secret(name))
      warn("SecretsUsedInArgOrEnv", at, fmt::format("Do not use ARG or ENV instructions for sensitive data ({} \"{}\")", at.name, name));
    if (at.name == "ARG") {
      declared_.insert(name);
      description(at, "build argument", name);
    }
    auto global = global_.find(name);
    if (value) variables_[name] = uses_of(*value, variables_).text;
    else if (global != global_.end()) variables_[name] = global->second;
  }
}

void Linter::once(const Instruction& at) {
  auto& before = seen_[at.name];
  if (before)
    warn("MultipleInstructionsDisallowed", *before,
         fmt::format("Multiple {} instructions should not be used in the same stage because only the last one will be used", at.name));
  before = &at;
}

void Linter::expose(const Instruction& at) {
  for (const auto& word : at.words) {
    auto text = uses_of(word, variables_).text;
    auto slash = text.find('/');
    auto protocol = slash == std::string::npos ? "" : text.substr(slash + 1);
    if (protocol != to_lower(protocol))
      warn("ExposeProtoCasing", at, fmt::format("Defined protocol '{}' in EXPOSE instruction should be lowercase", text));
    if (text.substr(0, slash).contains(':'))
      warn("ExposeInvalidFormat", at, fmt::format("EXPOSE instruction should not define an IP address or host-port mapping, found '{}'", text));
  }
}

void Linter::copy(const Instruction& at) {
  if (at.flag("from") || ignored_.empty() || ignored_.brings_back()) return;
  for (std::size_t i = 0; i + 1 < at.words.size(); ++i) {
    auto path = uses_of(at.words[i], variables_).text;
    if (path.starts_with("<<") || path.contains("://")) continue;
    while (path.starts_with('/') || path.starts_with("./")) path.erase(0, path[0] == '/' ? 1 : 2);
    if (!path.empty() && path != "." && ignored_.ignores(path))
      warn("CopyIgnoredFile", at, fmt::format("Attempting to {} file \"{}\" that is excluded by .dockerignore", at.name == "ADD" ? "Add" : "Copy", path));
  }
}

}  // namespace

Result<std::vector<Warning>> lint(const Dockerfile& file, const Plan* plan, std::string_view ignored) {
  TRY(auto rules, codec::IgnoreRules::parse(ignored));
  return Linter(file, plan, std::move(rules)).run();
}

}  // namespace watari::builder
