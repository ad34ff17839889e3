#include "engine/local/security_rules.h"

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "model/cidr.h"

namespace watari::engine {

namespace {

using model::SecurityGroup;
using model::SecurityRule;

bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) || c == '-'; });
}

Result<std::string> match_ports(const SecurityRule& rule) {
  if (rule.from_port <= 0 && (rule.to_port < 0 || rule.to_port >= 65535)) return "meta l4proto " + rule.protocol;
  if (rule.from_port < 0 || rule.to_port > 65535 || rule.from_port > rule.to_port)
    return fail(Code::InvalidArgument, "rule {}: ports {}-{} are no range", rule.id, rule.from_port, rule.to_port);
  if (rule.from_port == rule.to_port) return fmt::format("{} dport {}", rule.protocol, rule.from_port);
  return fmt::format("{} dport {}-{}", rule.protocol, rule.from_port, rule.to_port);
}

// ICMP rules keep the type in from_port and the code in to_port; -1 is any.
std::string match_icmp(const SecurityRule& rule) {
  if (rule.from_port < 0) return "meta l4proto icmp";
  auto text = fmt::format("icmp type {}", rule.from_port);
  return rule.to_port < 0 ? text : fmt::format("{} icmp code {}", text, rule.to_port);
}

Result<std::string> match_protocol(const SecurityRule& rule) {
  const auto& protocol = rule.protocol;
  if (protocol == "-1") return "";
  if (protocol == "tcp" || protocol == "udp") return match_ports(rule);
  if (protocol == "icmp") return match_icmp(rule);
  if (auto number = parse_number<int>(protocol); number && *number >= 0 && *number <= 255)
    return "meta l4proto " + protocol;
  return fail(Code::InvalidArgument, "rule {}: protocol '{}' is not tcp, udp, icmp, -1 or a number below 256", rule.id, protocol);
}

// Nothing when the rule can match no packet here: an IPv6 range (tasks have IPv4 addresses only) or a group that is gone.
Result<std::string> compile_rule(const SecurityRule& rule, std::string_view field, const std::set<std::string>& known,
                                 std::string_view verdict) {
  std::string peer;
  if (!rule.group.empty()) {
    if (!known.contains(rule.group)) return "";
    peer = fmt::format("ip {} @{}", field, rule.group);
  } else if (rule.cidr.find(':') != std::string::npos || rule.protocol == "icmpv6") {
    return "";
  } else {
    TRY(auto cidr, model::parse_cidr(rule.cidr));
    if (cidr.length > 0) peer = fmt::format("ip {} {}", field, cidr.text());
  }
  TRY(auto protocol, match_protocol(rule));
  return fmt::format("    {} {} {}\n", peer, protocol, verdict);
}

Result<std::string> compile_group(const SecurityGroup& group, const std::set<std::string>& known) {
  std::string text = fmt::format("  chain {}-egress {{\n", group.id);
  for (const auto& rule : group.egress) {
    TRY(auto line, compile_rule(rule, "daddr", known, "goto ingress"));
    text += line;
  }
  text += fmt::format("  }}\n  chain {}-ingress {{\n", group.id);
  for (const auto& rule : group.ingress) {
    TRY(auto line, compile_rule(rule, "saddr", known, "accept"));
    text += line;
  }
  return text + "  }\n";
}

// The chains that packets enter; `goto ingress` from an egress chain never comes back, as ingress ends in a drop.
std::string base_chains(std::string_view established, std::string_view then) {
  auto hook = [&](std::string_view name, std::string_view before, std::string_view last) {
    return fmt::format("  chain {0} {{\n    type filter hook {0} priority filter; policy drop;\n{1}{2}{3}  }}\n", name, before,
                       established, last);
  };
  return hook("input", established.empty() ? "" : "    iifname \"lo\" accept\n", then) + hook("forward", "", then) +
         hook("output", established.empty() ? "" : "    oifname \"lo\" accept\n", then);
}

}  // namespace

std::string closed_table() { return "table inet watari {\n" + base_chains("", "") + "}\n"; }

Result<std::string> compile_security(const std::vector<SecurityGroup>& groups,
                                     const std::map<std::string, std::vector<std::string>>& groups_of_address) {
  std::set<std::string> known;
  for (const auto& group : groups) {
    if (!is_name(group.id)) return fail(Code::InvalidArgument, "'{}' is no security group id", group.id);
    known.insert(group.id);
  }
  std::map<std::string, std::vector<std::string>> members;
  for (const auto& [address, ids] : groups_of_address) {
    TRY_VOID(model::parse_ipv4(address));
    for (const auto& id : ids) members[id].push_back(address);
  }

  std::string sets, dispatch_egress, dispatch_ingress, rules;
  for (const auto& group : groups) {
    const auto& id = group.id;
    auto& addresses = members[id];
    auto elements = addresses.empty() ? "" : "elements = { " + join(addresses, ", ") + " }\n";
    sets += fmt::format("  set {} {{\n    type ipv4_addr\n    {}}}\n", id, elements);
    dispatch_egress += fmt::format("    ip saddr @{0} jump {0}-egress\n", id);
    dispatch_ingress += fmt::format("    ip daddr @{0} jump {0}-ingress\n", id);
    TRY(auto compiled, compile_group(group, known));
    rules += compiled;
  }
  return "add table inet watari\ndelete table inet watari\ntable inet watari {\n" + sets +
         "  chain ingress {\n    oifname \"" + kUplink + "\" accept\n" + dispatch_ingress + "    drop\n  }\n" + rules +
         "  chain egress {\n" + dispatch_egress + "  }\n" +
         base_chains("    ct state established,related accept\n    ct state invalid drop\n", "    jump egress\n") + "}\n";
}

}  // namespace watari::engine
