// Instructions that change the image's configuration and no file.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>

#include "base/strings.h"
#include "builder/stage_build.h"

namespace watari::builder {

namespace {

using Nanos = std::chrono::nanoseconds;

// "30s", "1m30s", "1.5ms" and "0". Source: https://pkg.go.dev/time#ParseDuration
Result<Nanos> duration(std::string_view text) {
  static const std::map<std::string_view, double> kUnits{{"h", 3600e9}, {"m", 60e9}, {"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"\u00b5s", 1e3}, {"\u03bcs", 1e3}, {"ns", 1}};
  const auto wrong = fail(Code::InvalidArgument, "`{}` is no duration; expected for example 30s or 1m30s", text);
  double total = 0;
  auto rest = text;
  if (text.empty() || text == "0") return Nanos(0);  // the default
  while (!rest.empty()) {
    auto end = rest.find_first_not_of("0123456789.");
    if (end == 0 || end == std::string_view::npos) return wrong;
    double value = std::strtod(std::string(rest.substr(0, end)).c_str(), nullptr);
    rest.remove_prefix(end);
    auto unit_end = std::min(rest.find_first_of("0123456789."), rest.size());
    auto unit = rest.substr(0, unit_end);
    rest.remove_prefix(unit_end);
    auto found = kUnits.find(unit);
    if (found == kUnits.end()) return wrong;
    total += value * found->second;
  }
  if (total > 9e18) return wrong;
  if (total > 0 && total < 1e6) return fail(Code::InvalidArgument, "`{}` is too short; expected at least 1ms", text);
  return Nanos(std::llround(total));
}

// A number but 0, or a name with or without SIG. Source: https://pkg.go.dev/github.com/moby/sys/signal#ParseSignal
bool is_signal(std::string_view text) {
  if (auto number = parse_number<int>(text)) return *number != 0;
  static constexpr std::string_view kNames =
      " ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX ";
  auto name = upper(text);
  if (name.starts_with("SIG")) name.erase(0, 3);
  bool middle = name.starts_with("RTMIN+") || name.starts_with("RTMAX-");
  auto distance = middle ? parse_number<int>(std::string_view(name).substr(6)) : std::nullopt;
  if (middle) return distance && *distance >= 1 && *distance <= (name.starts_with("RTMIN") ? 15 : 14);
  return !name.empty() && kNames.contains(" " + name + " ");
}

// "80", "80/udp", "8000-8002" as the entries of the configuration. Of "127.0.0.1:8080:80" the container's port counts, as in BuildKit.
Result<std::vector<std::string>> ports(const std::string& text) {
  auto slash = text.find('/');
  auto protocol = slash == std::string::npos || slash + 1 == text.size() ? "tcp" : to_lower(text.substr(slash + 1));
  auto numbers = text.substr(0, slash);
  if (auto colon = numbers.rfind(':'); colon != std::string::npos) numbers.erase(0, colon + 1);
  auto dash = numbers.find('-');
  auto first = parse_number<std::uint16_t>(numbers.substr(0, dash));
  auto last = dash == std::string::npos ? first : parse_number<std::uint16_t>(numbers.substr(dash + 1));
  bool known = protocol == "tcp" || protocol == "udp" || protocol == "sctp";
  if (!first || !last || *first > *last || !known)
    return fail(Code::InvalidArgument, "`{}` is no port; expected for example 80, 53/udp or 8000-8010", text);
  std::vector<std::string> all;
  for (int port = *first; port <= *last; ++port) all.push_back(std::to_string(port) + "/" + protocol);
  return all;
}

void add_once(std::vector<std::string>& list, const std::string& item) {
  if (std::ranges::find(list, item) == list.end()) list.push_back(item);
}

}  // namespace

Result<void> StageBuild::config_step(const Instruction& instruction) {
  state_.history.push_back({instruction.source, "", true, ""});
  reason_ = "changes the configuration only";
  return {};
}

// --build-arg wins over the default here, that over the one before the first FROM. One argument sees those before it.
Result<void> StageBuild::arg(const Instruction& instruction) {
  const Plan& plan = shared_.plan;
  for (const auto& [key, value] : pairs_of(instruction)) {
    TRY(auto name, expanded(key));
    if (auto given = plan.given.find(name); given != plan.given.end()) {
      state_.variables[name] = given->second;
    } else if (value) {
      TRY(state_.variables[name], expanded(*value));
    } else if (auto global = plan.global.find(name); global != plan.global.end()) {
      state_.variables[name] = global->second;
    }
  }
  return config_step(instruction);
}

// All values see the environment as it was before the instruction.
Result<void> StageBuild::env(const Instruction& instruction) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [name, value] : pairs_of(instruction)) {
    TRY(auto key, expanded(name));
    TRY(auto text, expanded(value.value_or("")));
    pairs.emplace_back(std::move(key), std::move(text));
  }
  for (const auto& [name, value] : pairs) set_variable(name, value);
  return config_step(instruction);
}

Result<void> StageBuild::label(const Instruction& instruction) {
  for (const auto& [name, value] : pairs_of(instruction)) {
    TRY(auto key, expanded(name));
    TRY(state_.config.labels[key], expanded(value.value_or("")));
  }
  return config_step(instruction);
}

Result<void> StageBuild::expose(const Instruction& instruction) {
  for (const auto& word : instruction.words) {
    TRY(auto text, expanded(word));
    for (const auto& each : split_words(text, shared_.plan.escape)) {
      TRY(auto list, ports(each));
      for (const auto& port : list) add_once(state_.config.exposed_ports, port);
    }
  }
  return config_step(instruction);
}

Result<void> StageBuild::volume(const Instruction& instruction) {
  for (const auto& word : instruction.words) {
    TRY(auto path, expanded(word));
    if (path.empty()) return fail(Code::InvalidArgument, "a volume has no path");
    add_once(state_.config.volumes, path);
  }
  return config_step(instruction);
}

Result<void> StageBuild::health_check(const Instruction& instruction) {
  auto& config = state_.config;
  config.health_interval = config.health_timeout = config.health_start_period = config.health_start_interval = Nanos{0};
  config.health_retries = 0;
  if (to_lower(instruction.words[0]) == "none") {
    config.health_test = {"NONE"};
    return config_step(instruction);
  }
  for (const auto& flag : instruction.flags) {
    if (flag.name == "retries") {
      auto retries = parse_number<int>(flag.value);
      if (!retries || *retries < 0) return fail(Code::InvalidArgument, "--retries={} is no number", flag.value);
      config.health_retries = *retries;
    } else {
      TRY(auto time, duration(flag.value));
      (flag.name == "interval" ? config.health_interval : flag.name == "timeout" ? config.health_timeout
       : flag.name == "start-interval" ? config.health_start_interval : config.health_start_period) = time;
    }
  }
  TRY(auto command, parse_instruction("CMD " + std::string(trim(std::string_view(instruction.text).substr(3))), shared_.plan.file));
  if (command.words.empty()) return fail(Code::InvalidArgument, "HEALTHCHECK CMD has no command");
  config.health_test = {command.exec_form ? "CMD" : "CMD-SHELL"};
  if (command.exec_form) std::ranges::copy(command.words, std::back_inserter(config.health_test));
  else config.health_test.push_back(command.text);
  return config_step(instruction);
}

Result<void> StageBuild::one_word(const Instruction& instruction) {
  TRY(auto word, expanded(instruction.words[0]));
  bool user = instruction.name == "USER";  // an empty one is the base's default: root
  if (!user && !is_signal(word)) return fail(Code::InvalidArgument, "`{}` is no signal; expected for example SIGTERM or 15", word);
  (instruction.name == "USER" ? state_.config.user : state_.config.stop_signal) = word;
  return config_step(instruction);
}

// Source: https://docs.docker.com/reference/dockerfile/#understand-how-cmd-and-entrypoint-interact
Result<void> StageBuild::command(const Instruction& instruction) {
  auto words = instruction.words;
  if (!instruction.exec_form) {
    words = state_.config.shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : state_.config.shell;
    words.push_back(instruction.text);
  }
  if (instruction.name == "SHELL") {
    state_.config.shell = words;
  } else if (instruction.name == "CMD") {
    state_.config.cmd = words;
    cmd_set_ = true;
  } else {
    state_.config.entrypoint = words;
    // The CMD of a base image was meant for its own entry point.
    if (!cmd_set_) state_.config.cmd.clear();
  }
  return config_step(instruction);
}

Result<void> StageBuild::note(const Instruction& instruction) {
  if (instruction.name == "ONBUILD") state_.config.on_build.push_back(instruction.text);
  else state_.author = instruction.text;
  return config_step(instruction);
}

}  // namespace watari::builder
