#include "balancer/compile.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "balancer/listening.h"
#include "base/digest.h"
#include "base/strings.h"

namespace watari::balancer {

namespace {

std::string attribute(const std::vector<model::Tag>& attributes, std::string_view key, std::string otherwise) {
  for (const auto& attribute : attributes)
    if (attribute.key == key) return attribute.value;
  return otherwise;
}

// For HAProxy's strong quotes, in which a quote itself cannot stand.
std::string quoted(const std::string& text) { return join(split(text, '\''), "%27"); }

std::string idle_timeout(const model::LoadBalancer& balancer) {
  return attribute(balancer.attributes, "idle_timeout.timeout_seconds", "60");
}

struct Compiler {
  const Snapshot& snapshot;
  const CompileOptions& options;
  Plan plan;
  std::map<std::string, const model::LoadBalancer*> group_users = {};  // target group -> a load balancer that forwards to it

  const model::LoadBalancer* balancer_of(const model::Listener& listener) const {
    for (const auto& balancer : snapshot.load_balancers)
      if (balancer.arn == listener.load_balancer) return &balancer;
    return nullptr;
  }
  const model::TargetGroup* group(const std::string& arn) const {
    for (const auto& group : snapshot.target_groups)
      if (group.arn == arn) return &group;
    return nullptr;
  }
  bool reachable(const model::TargetGroup& group) const {
    auto vpc = snapshot.namespace_of_vpc.find(group.vpc);
    return vpc == snapshot.namespace_of_vpc.end() || options.namespaces.contains(group.vpc);
  }

  // A listener's rules in the order of evaluation: by priority, the default rule last.
  std::vector<const model::Rule*> rules_of(const model::Listener& listener) const {
    std::vector<const model::Rule*> rules;
    for (const auto& rule : snapshot.rules)
      if (rule.listener == listener.arn) rules.push_back(&rule);
    std::ranges::sort(rules, {}, [](auto* rule) { return rule->priority == 0 ? 1 << 20 : rule->priority; });
    return rules;
  }

  void add_action(const model::Rule& rule, std::string& actions, std::size_t& widest) {
    auto when = " if { var(txn.rule) -m str " + rule_key(rule.arn) + " }\n";
    if (rule.action.type == model::ActionType::Forward) {
      std::vector<model::WeightedTargetGroup> known;
      for (const auto& share : rule.action.forward)
        if (const auto* found = group(share.target_group); found && reachable(*found)) known.push_back(share);
      plan.splits[rule_key(rule.arn)] = split_of(known);
      widest = std::max(widest, rule.action.forward.size());
    } else if (rule.action.type == model::ActionType::Redirect) {
      actions += "  http-request redirect location \"" + location_format(rule.action) + "\" code " +
                 (rule.action.status_code == "HTTP_301" ? "301" : "302") + when;
    } else {
      actions += "  http-request return status " + rule.action.status_code;
      if (!rule.action.body.empty()) {
        auto file = "body-" + sha256_hex(rule.action.body).substr(0, 16);
        plan.files[file] = rule.action.body;
        actions += " content-type " + (rule.action.content_type.empty() ? "text/plain" : rule.action.content_type) +
                   " file " + options.run_directory + "/" + file;
      }
      actions += " hdr Server awselb/2.0" + when;
    }
  }

  void add_frontend(int port, const std::vector<const model::Listener*>& listeners) {
    std::string choose, actions;
    std::size_t widest = 2;
    int idle = 1;
    for (const auto* listener : listeners) {
      const auto* balancer = balancer_of(*listener);
      idle = std::max(idle, parse_number<int>(idle_timeout(*balancer)).value_or(60));
      std::string host = listeners.size() > 1 ? " { var(txn.host) -m str " + to_lower(balancer->dns_name) + " }" : "";
      choose += "  # " + balancer->name + "\n";
      for (const auto* rule : rules_of(*listener)) {
        auto condition = condition_text(rule->conditions);
        choose += "  http-request set-var(txn.rule) str(" + rule_key(rule->arn) + ") if !{ var(txn.rule) -m found }" + host +
                  (condition.empty() ? "" : " " + condition) + "\n";
        add_action(*rule, actions, widest);
      }
    }
    auto& out = plan.frontends;
    out += fmt::format("frontend port-{}\n", port);
    for (std::size_t i = 0; i < options.addresses.size(); ++i)
      out += fmt::format("  bind \"fd@${{{}}}\"  # {}:{}\n", listening_variable(port, i), options.addresses[i], port);
    out += fmt::format("  bind unix@{}/relay-{}.sock mode 600 accept-proxy\n", options.run_directory, port);
    out += fmt::format("  timeout client {}s\n  timeout http-keep-alive {}s\n  timeout http-request {}s\n", idle, idle, idle);
    if ((choose + actions).contains("txn.host")) out += "  http-request set-var(txn.host) req.hdr(host),host_only,lower\n";
    if (actions.contains("txn.query"))
      out += "  http-request set-var-fmt(txn.query) ?%[query] if { query -m len gt 0 }\n"
             "  http-request set-var(txn.query) str() if !{ query -m len gt 0 }\n";
    out += "  http-request set-var(txn.rule) str(relay) if { var(proc.replaced) -m found }\n";
    out += choose;
    out += "  http-request return status 404 content-type text/plain string \"no load balancer of that name listens here\" "
           "if !{ var(txn.rule) -m found }\n";
    out += actions;
    add_forwarding(port, widest);
  }

  // The rule is known: look up how it splits its traffic, draw, and go. All of it is data in the map, so that weights change
  // in one step and without a reload.
  // A process that has been replaced relays what still comes over its connections to its successor, which knows better.
  void add_forwarding(int port, std::size_t widest) {
    auto& out = plan.frontends;
    out += fmt::format("  http-request set-var(txn.to) var(txn.rule),map_str({}/splits.map,none)\n", options.run_directory);
    out += "  http-request set-var(txn.split) var(txn.to) if { var(txn.to) -m sub : }\n";
    out += "  http-request set-var(txn.draw) rand(10000) if { var(txn.split) -m found }\n";
    for (auto pair = widest; pair >= 1; --pair)
      out += fmt::format("  http-request set-var(txn.to) var(txn.split),field({},:) if {{ var(txn.split) -m found }} "
                         "{{ var(txn.split),field({},:),sub(txn.draw) -m int gt 0 }}\n", pair * 2, pair * 2 - 1);
    out +=
        "  http-request disable-l7-retry if !{ method GET HEAD OPTIONS }\n"
        "  http-request set-var(txn.xff) req.fhdr(x-forwarded-for) if { req.fhdr_cnt(x-forwarded-for) eq 1 }\n"
        "  acl relayed var(txn.rule) -m str relay\n"
        "  http-request set-header X-Forwarded-For \"%[var(txn.xff)], %[src]\" if { var(txn.xff) -m found } !relayed\n"
        "  http-request add-header X-Forwarded-For %[src] if !{ var(txn.xff) -m found } !relayed\n"
        "  http-request set-header X-Forwarded-Proto http\n"
        "  http-request set-header X-Forwarded-Port %[dst_port]\n"
        "  http-request set-header X-Amzn-Trace-Id Root=1-%[date,hex,bytes(8,8),lower]-%[rand,hex,bytes(8,8),lower]"
        "%[rand,hex,bytes(8,8),lower]%[rand,hex,bytes(8,8),lower] if !{ req.hdr(x-amzn-trace-id) -m found }\n"
        "  use_backend relay-" + std::to_string(port) + " if relayed\n"
        "  use_backend %[var(txn.to)].open if { var(txn.to),nbsrv eq 0 }\n"
        "  use_backend %[var(txn.to)]\n"
        "  default_backend none\n\n"
        "backend relay-" + std::to_string(port) + "\n"
        "  server next unix@" + options.run_directory + "/relay-" + std::to_string(port) + ".sock send-proxy-v2\n\n";
  }

  std::string health_check(const model::TargetGroup& group) const {
    const auto& check = group.health_check;
    auto out = fmt::format("  timeout check {}s\n", check.timeout.count());
    if (check.protocol != "HTTP") return out + "  option tcp-check\n";
    // ALB sends "address:port" as the Host. HAProxy 2.6 cannot (no such value in checks), so it is the load balancer's name.
    auto user = group_users.find(group.arn);
    auto host = user == group_users.end() ? "localhost" : to_lower(user->second->dns_name);
    out += "  option httpchk\n  http-check send meth GET uri '" + quoted(check.path) + "' ver HTTP/1.1 hdr Host " + host +
           " hdr User-Agent ELB-HealthChecker/2.0\n";
    return out + "  http-check expect status " + check.matcher + "\n";
  }

  void add_backend(const model::TargetGroup& group) {
    const auto& check = group.health_check;
    Backend backend{.name = backend_name(group.arn), .group = group.arn, .rise = check.healthy_threshold,
                    .fall = check.unhealthy_threshold, .interval = check.interval, .timeout = check.timeout};
    auto algorithm = attribute(group.attributes, "load_balancing.algorithm.type", "round_robin");
    std::string balance = algorithm == "least_outstanding_requests" ? "leastconn"
                          : algorithm == "weighted_random"          ? "random"
                                                                    : "roundrobin";
    auto user = group_users.find(group.arn);
    auto common = "  # " + group.arn + "\n  balance " + balance + "\n  timeout server " +
                  (user == group_users.end() ? "60" : idle_timeout(*user->second)) + "s\n";
    if (auto vpc = options.namespaces.find(group.vpc); vpc != options.namespaces.end()) {
      auto name = vpc->second.substr(0, vpc->second.find(' '));
      common += "  # namespace " + vpc->second + "\n";
      backend.server = backend.open_server = " namespace " + name;
    }
    backend.head = common + health_check(group);
    backend.open_head = common;
    // While a target is down it is asked more often than the interval says: the sooner a new one serves, the better.
    auto down = std::min<std::int64_t>(200, std::chrono::duration_cast<Millis>(check.interval).count());
    backend.server += fmt::format(" check inter {}s downinter {}ms rise {} fall {}", check.interval.count(), down,
                                  check.healthy_threshold, check.unhealthy_threshold);
    if (check.port != "traffic-port") backend.server += " port " + check.port;
    auto slow_start = attribute(group.attributes, "slow_start.duration_seconds", "0");
    if (slow_start != "0") backend.server += " slowstart " + slow_start + "s";
    plan.backends.push_back(std::move(backend));
  }

  Plan run() {
    std::map<int, std::vector<const model::Listener*>> ports;
    for (const auto& listener : snapshot.listeners)
      if (const auto* balancer = balancer_of(listener)) {
        ports[listener.port].push_back(&listener);
        for (const auto* rule : rules_of(listener))
          for (const auto& share : rule->action.forward) group_users.emplace(share.target_group, balancer);
      }
    for (const auto& [port, listeners] : ports) {
      if (options.closed_ports.contains(port)) continue;
      plan.ports.insert(port);
      add_frontend(port, listeners);
    }
    for (const auto& group : snapshot.target_groups)
      if (group_users.contains(group.arn) && reachable(group)) add_backend(group);
    return std::move(plan);
  }
};

}  // namespace

std::string backend_name(const std::string& arn) {
  // arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID; the digest keeps regions and accounts apart.
  auto parts = split(arn, '/');
  std::string name;
  for (char c : parts.size() > 1 ? parts[1] : std::string())
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '-') name += c;
  return (name.empty() ? "group" : name) + "-" + sha256_hex(arn).substr(0, 10);
}

std::string rule_key(const std::string& arn) { return "r" + sha256_hex(arn).substr(0, 12); }

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

Plan compile(const Snapshot& snapshot, const CompileOptions& options) {
  return Compiler{.snapshot = snapshot, .options = options, .plan = {}}.run();
}

}  // namespace watari::balancer
