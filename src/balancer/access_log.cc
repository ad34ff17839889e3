#include "balancer/access_log.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "balancer/compiler.h"
#include "base/strings.h"

namespace watari::balancer {

namespace {

// The fields of a line, in order, and what they are to HAProxy. Separated by tabs, which HAProxy never writes into a field.
enum Field { kKind, kRule, kBackend, kServer, kTarget, kClient, kSeconds, kMillis, kReceive, kQueue, kConnect, kAnswer, kData, kAll, kStatus, kUp, kDown,
             kMethod, kUri, kVersion, kHost, kAgent, kCipher, kProtocol, kTrace, kBrought, kLocation, kEnd, kFields };
constexpr std::array<const char*, kFields> kFormats = {
    "A", "%[var(txn.rule)]", "%b", "%s", "%si:%sp", "%ci:%cp", "%Ts", "%ms", "%TR", "%Tw", "%Tc", "%Tr", "%Td", "%Ta", "%ST", "%U", "%B",
    "%HM", "%HU", "%HV", "%[var(txn.host)]", "%[var(txn.agent)]", "%sslc", "%sslv", "%[var(txn.id)]", "%[var(txn.trace)]", "%[var(txn.location)]", "%ts"};

std::string seconds(std::string_view milliseconds) {
  auto value = parse_number<int>(milliseconds);
  return !value || *value < 0 ? "-1" : fmt::format("{:.3f}", *value / 1000.0);
}

std::string instant(Time time) {
  auto whole = std::chrono::system_clock::to_time_t(time);
  tm parts{};
  ::gmtime_r(&whole, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:03}000Z", text, time.time_since_epoch().count() % 1000);
}

// HAProxy has no word for a client that went away before it was answered.
std::string status_of(const std::vector<std::string>& fields) {
  return fields[kStatus].starts_with("-") || fields[kStatus] == "0" ? fields[kEnd].starts_with("C") ? "460" : "-" : fields[kStatus];
}

std::string or_dash(const std::string& text) { return text.empty() || text == "-" ? "-" : text; }
// Quotes within a field as ALB writes them.
std::string in_quotes(const std::string& text) { return "\"" + join(split(or_dash(text), '"'), "\\x22") + "\""; }

// The header as the target gets it (frontend.cc).
std::string trace_of(const std::vector<std::string>& fields) {
  if (fields[kTrace] == "-") return "-";
  const auto& brought = fields[kBrought];
  if (or_dash(brought) == "-") return "Root=" + fields[kTrace];
  return (brought.contains("Root=") ? "Self=" : "Root=") + fields[kTrace] + ";" + brought;
}

std::string type_of(const std::vector<std::string>& fields, bool secure) {
  if (fields[kStatus] == "101") return secure ? "wss" : "ws";
  if (fields[kVersion] == "HTTP/2.0") return "h2";
  return secure ? "https" : "http";
}

}  // namespace

bool logs_access(const model::LoadBalancer& balancer) { return attribute(balancer.attributes, "access_logs.s3.enabled", "false") == "true"; }

std::string access_log_format() {
  std::string out;
  for (const char* format : kFormats) out += (out.empty() ? "" : "\\t") + std::string(format);
  return out;
}

void AccessLog::know(const Snapshot& snapshot) {
  snapshot_ = {.load_balancers = snapshot.load_balancers, .listeners = snapshot.listeners, .rules = snapshot.rules, .target_groups = {}, .targets = {},
               .certificates = {}, .namespace_of_vpc = {}};
  rules_.clear();
  groups_.clear();
  for (const auto& [arn, rule] : snapshot_.rules) {
    const auto* listener = snapshot_.listeners.find(rule.listener);
    const auto* balancer = listener ? snapshot_.load_balancers.find(listener->load_balancer) : nullptr;
    if (balancer && logs_access(*balancer)) rules_[rule_key(arn)] = {&rule, listener, balancer};
  }
  for (const auto& [arn, group] : snapshot.target_groups) groups_[backend_name(arn)] = arn;
}

void AccessLog::add(std::string_view line) {
  auto fields = split(std::string(line), '\t');
  if (fields.size() != kFields) return;
  auto found = rules_.find(fields[kRule]);
  if (found == rules_.end()) return;
  const auto& [rule, listener, balancer] = found->second;
  bool secure = listener->protocol == "HTTPS";
  auto group = groups_.find(fields[kBackend]);
  bool forwarded = rule->action.type == model::ActionType::Forward;
  bool reached = group != groups_.end() && !fields[kServer].starts_with("<");
  auto begun = Time(Millis(parse_number<std::int64_t>(fields[kSeconds]).value_or(0) * 1000 + parse_number<std::int64_t>(fields[kMillis]).value_or(0)));
  auto ended = begun + Millis(std::max(0, parse_number<int>(fields[kAll]).value_or(0)));
  auto target = reached ? fields[kTarget] : "-";
  // HAProxy answered by itself when something ended the request before the target's answer was through.
  auto target_status = reached && fields[kEnd].starts_with("-") ? fields[kStatus] : "-";
  auto wait = parse_number<int>(fields[kReceive]).value_or(0) + std::max(0, parse_number<int>(fields[kQueue]).value_or(0)) +
              std::max(0, parse_number<int>(fields[kConnect]).value_or(0));
  auto host = or_dash(fields[kHost]);
  auto request = fmt::format("{} {}://{}:{}{} {}", fields[kMethod], secure ? "https" : "http", host, listener->port,
                             fields[kUri].starts_with("/") ? fields[kUri] : "/", fields[kVersion]);
  auto name = balancer->arn.substr(balancer->arn.find(":loadbalancer/") + 14);
  auto text = fmt::format(
      "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} \"-\" \"-\" -", type_of(fields, secure), instant(ended), name,
      fields[kClient], target, reached ? seconds(std::to_string(wait)) : "-1", reached ? seconds(fields[kAnswer]) : "-1", reached ? seconds(fields[kData]) : "-1",
      status_of(fields), target_status, fields[kUp], fields[kDown], in_quotes(request), in_quotes(fields[kAgent]), or_dash(fields[kCipher]),
      or_dash(fields[kProtocol]), group == groups_.end() ? "-" : group->second, in_quotes(trace_of(fields)),
      in_quotes(secure ? host : "-"), in_quotes(listener->certificates.size() == 1 ? listener->certificates.front() : "-"), rule->priority, instant(begun),
      in_quotes(forwarded ? "forward" : std::string(name_of(rule->action.type))), in_quotes(fields[kLocation]), in_quotes("-"), in_quotes(target), in_quotes(target_status));
  auto& entries = entries_[balancer->arn];
  entries.load_balancer = *balancer;
  entries.lines.emplace_back(ended, std::move(text));
}

std::vector<AccessLogEntries> AccessLog::take() {
  std::vector<AccessLogEntries> out;
  for (auto& [arn, entries] : entries_) out.push_back(std::move(entries));
  entries_.clear();
  return out;
}

}  // namespace watari::balancer
