#include "balancer/compile.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "balancer/compiler.h"
#include "balancer/listening.h"
#include "base/digest.h"
#include "base/strings.h"
#include "model/tls_policy.h"

namespace watari::balancer {

namespace {

// "ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.3 ciphers … ciphersuites …"
std::string policy_options(const std::string& name) {
  const auto* policy = model::find_tls_policy(name);
  if (!policy) policy = model::find_tls_policy(model::kDefaultTlsPolicy);
  std::vector<std::string> suites, ciphers;
  for (auto& cipher : split(std::string(policy->ciphers), ':')) (cipher.starts_with("TLS_") ? suites : ciphers).push_back(cipher);
  // OpenSSL 3 has versions before 1.2 at security level 0 only.
  if (policy->oldest < "TLSv1.2") ciphers.push_back("@SECLEVEL=0");
  auto out = fmt::format("ssl-min-ver {} ssl-max-ver {}", policy->oldest, policy->newest);
  if (!ciphers.empty()) out += " ciphers " + join(ciphers, ":");
  if (!suites.empty()) out += " ciphersuites " + join(suites, ":");
  return out;
}

template <class T>
bool equal(const T& a, const T& b) {
  if constexpr (HasFields<T>) {
    bool same = true;
    T::watari_fields([&](std::string_view, auto member) { same = same && equal(a.*member, b.*member); });
    return same;
  } else if constexpr (std::is_same_v<T, std::string> || !requires { a.begin(); }) {
    return a == b;
  } else {
    return std::ranges::equal(a, b, [](const auto& one, const auto& other) { return equal(one, other); });
  }
}

bool differ_in_weights_only(model::Rule a, const model::Rule& b) {
  if (a.action.forward.size() != b.action.forward.size()) return false;
  for (std::size_t i = 0; i < a.action.forward.size(); ++i) a.action.forward[i].weight = b.action.forward[i].weight;
  a.tags = b.tags;
  return equal(a, b);
}

}  // namespace

std::string attribute(const std::vector<model::Tag>& attributes, std::string_view key, std::string otherwise) {
  for (const auto& attribute : attributes)
    if (attribute.key == key) return attribute.value;
  return otherwise;
}

std::string quoted(const std::string& text) { return join(split(text, '\''), "%27"); }

std::string error_page(std::string_view error) {
  return fmt::format("<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>", error);
}

std::string idle_timeout(const model::LoadBalancer& balancer) {
  bool network = balancer.type == "network";
  return attribute(balancer.attributes, network ? "" : "idle_timeout.timeout_seconds", network ? "350" : "60");
}

bool Compiler::reachable(const model::TargetGroup& group) const {
  auto vpc = snapshot.namespace_of_vpc.find(group.vpc);
  return group.target_type == "instance" || vpc == snapshot.namespace_of_vpc.end() || options.namespaces.contains(group.vpc);
}

std::string Compiler::split(const model::Rule& rule) const {
  std::vector<model::WeightedTargetGroup> known;
  for (const auto& share : rule.action.forward)
    if (const auto* group = snapshot.target_groups.find(share.target_group); group && reachable(*group)) known.push_back(share);
  return split_of(known);
}

std::string Compiler::draw(const model::Rule& rule) {
  auto key = rule_key(rule.arn);
  plan.splits[key] = split(rule);
  return "rand(10000),map_int(" + map_file(options, key) + ",none)";
}

std::string Compiler::binds(int port, const std::vector<ListenerView>& listeners, const std::string& with) {
  auto places = options.addresses;
  for (const auto& view : listeners)
    if (auto inside = options.inside.find(view.balancer->vpc); inside != options.inside.end() && std::ranges::find(places, inside->second) == places.end())
      places.push_back(inside->second);
  std::string out;
  for (const auto& place : places) {
    plan.listening.emplace(port, place);
    out += fmt::format("  bind \"fd@${{{}}}\"{}  # {} port {}\n", listening_variable(port, place), with, place, port);
  }
  return out;
}

std::string Compiler::tls_options(int port, const std::vector<ListenerView>& listeners) {
  std::string list;
  for (const auto& view : listeners)
    for (const auto& arn : view.listener->certificates) {
      const auto* certificate = snapshot.certificates.find(arn);
      if (!certificate) continue;
      auto file = "certificate-" + sha256_hex(certificate->pem).substr(0, 16) + ".pem";
      plan.files[file] = certificate->pem;
      auto line = options.run_directory + "/" + file + " [" + policy_options(view.listener->ssl_policy) + "]\n";
      if (!list.contains(line)) list += line;
    }
  if (list.empty()) return "";
  auto name = fmt::format("certificates-{}-{}.list", port, sha256_hex(list).substr(0, 8));
  plan.files[name] = list;
  auto out = " ssl crt-list " + options.run_directory + "/" + name + " " + policy_options(listeners.front().listener->ssl_policy);
  bool http = listeners.front().balancer->type == "application";
  bool two = std::ranges::any_of(listeners, [](const ListenerView& view) {
    return attribute(view.balancer->attributes, "routing.http2.enabled", "true") == "true";
  });
  return http ? out + (two ? " alpn h2,http/1.1" : " alpn http/1.1") : out;
}

Plan Compiler::run() {
  std::map<std::string_view, std::vector<const model::Rule*>> rules;
  plan.descriptors = options.descriptors;
  for (const auto& [arn, rule] : snapshot.rules) rules[rule.listener].push_back(&rule);
  for (const auto& [arn, listener] : snapshot.listeners) {
    const auto* balancer = snapshot.load_balancers.find(listener.load_balancer);
    if (!balancer) continue;
    ListenerView view{&listener, balancer, std::move(rules[arn])};
    std::ranges::sort(view.rules, {}, [](auto* rule) { return rule->priority == 0 ? 1 << 20 : rule->priority; });
    for (const auto* rule : view.rules)
      for (const auto& share : rule->action.forward) group_users.emplace(share.target_group, view.balancer);
    ports[listener.port].push_back(std::move(view));
  }
  for (const auto& [port, listeners] : ports) {
    if (options.closed_ports.contains(port)) continue;
    plan.ports.insert(port);
    const auto& first = listeners.front();
    if (first.listener->protocol == "HTTP" || first.listener->protocol == "HTTPS") add_http_port(port, listeners);
    else add_tcp_port(port, first);
  }
  for (const auto& [arn, group] : snapshot.target_groups)
    if (group_users.contains(arn) && reachable(group)) add_backend(group);
  return std::move(plan);
}

std::optional<std::set<std::string>> Compiler::reweigh(const Snapshot& before) {
  bool same = snapshot.load_balancers.same(before.load_balancers) && snapshot.listeners.same(before.listeners) &&
              snapshot.target_groups.same(before.target_groups) && snapshot.certificates.same(before.certificates) &&
              snapshot.namespace_of_vpc == before.namespace_of_vpc;
  if (!same) return std::nullopt;
  std::vector<const model::Rule*> changed;
  SharedMap<model::Rule>::differences(before.rules, snapshot.rules, [&](const std::string&, const model::Rule* old, const model::Rule* now) {
    same = same && old && now && differ_in_weights_only(*old, *now);
    changed.push_back(now);
  });
  if (!same) return std::nullopt;
  std::set<std::string> keys;
  for (const auto* rule : changed)
    if (auto split_now = plan.splits.find(rule_key(rule->arn)); split_now != plan.splits.end()) {
      split_now->second = split(*rule);
      keys.insert(split_now->first);
    }
  return keys;
}

// Short, since HAProxy writes and reads it for every request; the configuration says the ARN beside it.
std::string backend_name(const std::string& arn) { return "t" + sha256_hex(arn).substr(0, 10); }

std::string rule_key(const std::string& arn) { return "r" + sha256_hex(arn).substr(0, 12); }

std::string map_file(const CompileOptions& options, const std::string& rule_key) { return options.run_directory + "/split-" + rule_key + ".map"; }

std::string shortcut_name(const std::string& rule_key, const std::string& backend) { return rule_key + "-" + backend; }

std::string shortcut_mark(const std::string& rule_key) { return "  # shortcuts of " + rule_key + "\n"; }

std::string split_of(const std::vector<model::WeightedTargetGroup>& forward) {
  int total = 0, with_weight = 0;
  for (const auto& share : forward) {
    total += share.weight;
    with_weight += share.weight > 0;
  }
  // A single target group takes everything, whatever its weight.
  if (forward.size() == 1) return backend_name(forward.front().target_group);
  std::string out;
  int sum = 0;
  for (const auto& share : forward) {
    if (share.weight <= 0) continue;
    if (with_weight == 1) return backend_name(share.target_group);
    sum += share.weight;
    out += fmt::format("{}{}:{}", out.empty() ? "" : ":", static_cast<int>(std::lround(10000.0 * sum / total)),
                       backend_name(share.target_group));
  }
  return out.empty() ? "none" : out;
}

std::vector<std::pair<std::string, std::string>> map_of_split(const std::string& text) {
  auto parts = split(text, ':');
  if (parts.size() < 2) return {{"0:9999", text}};
  std::vector<std::pair<std::string, std::string>> entries;
  int from = 0;
  for (std::size_t i = 0; i + 1 < parts.size(); i += 2) {
    int limit = parse_number<int>(parts[i]).value_or(10000);
    if (limit > from) entries.emplace_back(fmt::format("{}:{}", from, limit - 1), parts[i + 1]);
    from = std::max(from, limit);
  }
  return entries;
}

std::string split_of_map(const std::vector<std::pair<std::string, std::string>>& entries) {
  if (entries.size() == 1 && entries.front().first == "0:9999") return entries.front().second;
  std::string out;
  for (const auto& [range, name] : entries) {
    auto to = parse_number<int>(range.substr(range.find(':') + 1)).value_or(0);
    out += fmt::format("{}{}:{}", out.empty() ? "" : ":", to + 1, name);
  }
  return out;
}

Plan compile(const Snapshot& snapshot, const CompileOptions& options) { return Compiler{.snapshot = snapshot, .options = options}.run(); }

std::optional<std::set<std::string>> reweigh(Plan& plan, const Snapshot& before, const Snapshot& now, const CompileOptions& options) {
  Compiler compiler{.snapshot = now, .options = options, .plan = std::move(plan)};
  auto changed = compiler.reweigh(before);
  plan = std::move(compiler.plan);
  return changed;
}

}  // namespace watari::balancer
