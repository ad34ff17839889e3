#include "builder/lint.h"

#include <algorithm>
#include <array>
#include <map>
#include <ranges>
#include <set>
#include <tuple>
#include <utility>

#include "base/nearest.h"
#include "base/strings.h"
#include "builder/expand.h"
#include "codec/ignore.h"
#include "oci/reference.h"

namespace watari::builder {
namespace {

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

std::vector<std::string> names_of(const Instruction& arg) {
  std::vector<std::string> names;
  for (const auto& [name, value] : pairs_of(arg)) names.push_back(name);
  return names;
}

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
    // Rules on trial are asked for and not skipped. Source: moby/buildkit frontend/dockerfile/linter
    bool experimental = rule == "InvalidDefinitionDescription" || rule == "CopyIgnoredFile";
    const auto& named = experimental ? file_.check.experimental : file_.check.skip;
    if ((named.contains(std::string(rule)) || named.contains("all")) != experimental) return;
    auto line = rule == "NoEmptyContinuation" ? at.empty_continuation : at.line;
    found_.push_back({std::string(rule), line, std::move(message), at.source.substr(0, 160)});
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

  // What a stage hands on to those that are built on it.
  struct Left {
    Variables variables;
    std::set<std::string> declared;  // ARGs, with and without a value
    bool workdir_set = false, shell_set = false;
  };

  void global_arg(const Instruction& arg);
  void casing();
  void stage(const Stage& stage);
  void from(const Stage& stage);
  void from_platform(const Stage& stage);
  void description(const Instruction& at, const std::vector<std::string>& names);
  void instruction(const Instruction& at);
  void variables_of(const Instruction& at);
  void define(const Instruction& at);
  void once(const Instruction& at);
  void expose(const Instruction& at);
  void copy(const Instruction& at);
  Left begin(const Stage& stage);

  const Dockerfile& file_;
  const Plan* plan_;
  codec::IgnoreRules ignored_;
  Variables global_ = platform_variables(), defaults_ = platform_variables();  // with --build-arg, and without
  std::map<std::string, Left> of_stages_;
  std::set<std::string> stage_names_;
  // Of the stage that is looked at.
  Left now_;
  std::map<std::string, const Instruction*> seen_;
  std::vector<Warning> found_;
};

void Linter::global_arg(const Instruction& arg) {
  description(arg, names_of(arg));
  for (const auto& [name, value] : pairs_of(arg)) {
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

void Linter::description(const Instruction& at, const std::vector<std::string>& names) {
  if (at.comments.empty() || at.comments.back().empty() || at.comments.back().starts_with("check=")) return;
  const auto& comment = at.comments.back();
  if (std::ranges::any_of(names, [&](const auto& name) { return comment == name || comment.starts_with(name + " "); })) return;
  warn("InvalidDefinitionDescription", at, fmt::format("Comment for {} should follow the format: `# {} <description>`", at.name,
                                                       names.size() == 1 ? names[0] : "<arg_key>"));
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
    description(at, {written});
  }
  for (const auto& name : uses_of(stage.base, global_).unknown)
    warn("UndefinedArgInFrom", at, fmt::format("FROM argument '{}' is not declared{}", name, did_you_mean(name, std::views::keys(global_))));
  auto plain = uses_of(stage.base, defaults_);
  bool fits = plain.text == "scratch" || (!plain.text.empty() && oci::parse_reference(plain.text));
  if (plain.valid && !fits && stage.base.contains('$'))
    warn("InvalidDefaultArgInFrom", at, fmt::format("Default value for ARG {} results in empty or invalid base image name", stage.base));
}

void Linter::from_platform(const Stage& stage) {
  if (stage.platform.empty()) return;
  auto used = uses_of(stage.platform, global_);
  for (const auto& name : used.unknown)
    warn("UndefinedArgInFrom", stage.from, fmt::format("FROM argument '{}' is not declared{}", name, did_you_mean(name, std::views::keys(global_))));
  bool lone = used.known.size() == 1 && used.unknown.empty();
  if (lone && used.known.contains("TARGETPLATFORM") && used.text == global_.at("TARGETPLATFORM"))
    warn("RedundantTargetPlatform", stage.from, fmt::format("Setting platform to predefined {} in FROM is redundant as this is the default behavior", stage.platform));
  auto parts = split(used.text, '/');
  bool named = std::ranges::any_of(parts, [&](const auto& part) { return stage.name.contains(part); });
  if (used.known.empty() && used.unknown.empty() && !named)
    warn("FromPlatformFlagConstDisallowed", stage.from, fmt::format("FROM --platform flag should not use constant value \"{}\"", used.text));
}

// What a stage sees before its first instruction.
Linter::Left Linter::begin(const Stage& stage) {
  auto base = to_lower(uses_of(stage.base, global_).text);
  if (auto parent = of_stages_.find(base); parent != of_stages_.end()) return parent->second;
  Left left{.variables = {{"PATH", ""}}, .declared = {}};
  if (!plan_) return left;
  auto& variables = left.variables;
  for (const auto& planned : plan_->stages) {
    if (planned.from.line != stage.from.line || !planned.base) continue;
    for (const auto& pair : planned.base->config.env) variables[pair.substr(0, pair.find('='))] = pair.substr(std::min(pair.find('='), pair.size() - 1) + 1);
  }
  return left;
}

void Linter::stage(const Stage& stage) {
  from(stage);
  from_platform(stage);
  now_ = begin(stage);
  seen_.clear();
  for (const auto& each : stage.instructions) instruction(each);
  if (!stage.name.empty()) of_stages_[stage.name] = now_;
}

void Linter::instruction(const Instruction& at) {
  const auto& name = at.name;
  variables_of(at);
  define(at);
  if (name == "CMD" || name == "ENTRYPOINT" || name == "HEALTHCHECK") once(at);
  if ((name == "CMD" || name == "ENTRYPOINT") && !at.exec_form && !now_.shell_set)
    warn("JSONArgsRecommended", at, fmt::format("JSON arguments recommended for {} to prevent unintended behavior related to OS signals", name));
  if (name == "SHELL") now_.shell_set = true;
  if (name == "MAINTAINER") warn("MaintainerDeprecated", at, "Maintainer instruction is deprecated in favor of using label");
  if (name == "WORKDIR") {
    auto path = uses_of(at.text, now_.variables).text;
    if (!now_.workdir_set && !path.starts_with('/'))
      warn("WorkdirRelativePath", at, fmt::format("Relative workdir \"{}\" can have unexpected results if the base image changes", path));
    now_.workdir_set = true;
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
  for (const auto& word : words) unknown.merge(uses_of(word, now_.variables).unknown);
  if (at.name == "ARG")  // one argument sees those before it
    for (const auto& name : names_of(at)) unknown.erase(name);
  for (const auto& name : unknown)
    if (!now_.declared.contains(name))
      warn("UndefinedVar", at, fmt::format("Usage of undefined variable '${}'{}", name, did_you_mean(name, std::views::keys(now_.variables), "$")));
}

void Linter::define(const Instruction& at) {
  if (at.name != "ARG" && at.name != "ENV" && at.name != "LABEL") return;
  bool legacy = at.name != "ARG" && !at.words[0].contains('=');
  if (legacy) warn("LegacyKeyValueFormat", at, fmt::format("\"{0} key=value\" should be used instead of legacy \"{0} key value\" format", at.name));
  if (at.name == "LABEL") return;
  if (at.name == "ARG") description(at, names_of(at));
  for (const auto& [name, value] : pairs_of(at)) {
    if (looks_secret(name))
      warn("SecretsUsedInArgOrEnv", at, fmt::format("Do not use ARG or ENV instructions for sensitive data ({} \"{}\")", at.name, name));
    if (at.name == "ARG") now_.declared.insert(name);
    auto global = global_.find(name);
    if (value) now_.variables[name] = uses_of(*value, now_.variables).text;
    else if (global != global_.end()) now_.variables[name] = global->second;
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
    auto text = uses_of(word, now_.variables).text;
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
    auto path = uses_of(at.words[i], now_.variables).text;
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
