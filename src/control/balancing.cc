#include "control/balancing.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/id.h"
#include "base/strings.h"
#include "codec/reflect.h"
#include "model/cidr.h"
#include "model/tls_policy.h"

namespace watari::control {

namespace {

template <class... Args>
auto refuse(Code code, std::string reason, fmt::format_string<Args...> format, Args&&... args) {
  return fail(Error{code, fmt::format(format, std::forward<Args>(args)...), std::move(reason)});
}

std::string arn(const model::Scope& scope, const std::string& rest) {
  return fmt::format("arn:aws:elasticloadbalancing:{}:{}:{}", scope.region, scope.account, rest);
}

// What follows ":<kind>/" in an ARN: "app/name/0123".
std::string tail(const std::string& text, const std::string& kind) {
  auto at = text.find(":" + kind + "/");
  return at == std::string::npos ? text : text.substr(at + kind.size() + 2);
}

Result<model::Listener> listener_of(const State& state, const std::string& arn_text) {
  auto listener = state.listeners.get(arn_text);
  if (!listener) return refuse(Code::NotFound, "ListenerNotFound", "One or more listeners not found");
  return *listener;
}

Result<model::Rule> rule_of(const State& state, const std::string& arn_text) {
  auto rule = state.rules.get(arn_text);
  if (!rule) return refuse(Code::NotFound, "RuleNotFound", "One or more rules not found");
  return *rule;
}

// The groups that an action forwards to exist, lie in the load balancer's VPC, and serve no other load balancer.
Result<void> check_action(const State& state, const model::Action& action, const model::LoadBalancer& balancer) {
  if (balancer.type == "network" && action.type != model::ActionType::Forward)
    return refuse(Code::InvalidArgument, "InvalidLoadBalancerAction", "Action type '{}' must be 'forward': {} is a network load balancer", name_of(action.type),
                  balancer.name);
  for (const auto& share : action.forward) {
    const auto* group = state.target_groups.find(share.target_group);
    if (!group) return refuse(Code::NotFound, "TargetGroupNotFound", "Target groups '{}' not found", share.target_group);
    bool network = group->protocol == "TCP" || group->protocol == "TLS";
    if (network != (balancer.type == "network"))
      return refuse(Code::InvalidArgument, "InvalidConfigurationRequest", "The target group {} with the protocol {} cannot be used with the {} load balancer {}",
                    group->name, group->protocol, balancer.type, balancer.name);
    if (group->vpc != balancer.vpc)
      return refuse(Code::InvalidArgument, "InvalidConfigurationRequest",
                    "The target group {} is in VPC {}, the load balancer {} in VPC {}", group->name, group->vpc, balancer.name, balancer.vpc);
    for (const auto& user : load_balancers_of(state, share.target_group))
      if (user != balancer.arn)
        return refuse(Code::FailedPrecondition, "TargetGroupAssociationLimit",
                      "The following target groups cannot be associated with more than one load balancer: {}", share.target_group);
  }
  return {};
}

Result<model::LoadBalancer> balancer_of(const State& state, const std::string& arn_text) {
  auto balancer = state.load_balancers.get(arn_text);
  if (!balancer) return refuse(Code::NotFound, "LoadBalancerNotFound", "Load balancers '[{}]' not found", arn_text);
  return *balancer;
}

Result<void> check_port(Control& control, const model::Listener& listener) {
  Result<void> outcome;
  control.state().listeners.each("", [&](const std::string& key, const model::Listener& other) {
    if (other.load_balancer == listener.load_balancer && other.port == listener.port && key != listener.arn)
      outcome = refuse(Code::AlreadyExists, "DuplicateListener", "A listener already exists on this port for this load balancer '{}'",
                       listener.load_balancer);
  });
  TRY_VOID(outcome);
  // Load balancers share an address: HTTP listeners are told apart by the Host header, others by nothing.
  bool shares = listener.protocol == "HTTP" || listener.protocol == "HTTPS", shared = false;
  control.state().listeners.each("", [&](const std::string& key, const model::Listener& other) {
    if (other.port != listener.port || key == listener.arn) return;
    shared = true;
    if (!shares || other.protocol != listener.protocol)
      outcome = refuse(Code::AlreadyExists, "InvalidConfigurationRequest",
                       "Port {} has an {} listener of another load balancer ('{}'); on one port there can be either HTTP, or HTTPS, or one TCP or TLS "
                       "listener. Choose another port", listener.port, other.protocol, other.load_balancer);
  });
  TRY_VOID(outcome);
  if (shared || !control.balancer()) return {};  // a port of ours may be on its way to HAProxy, which does not know it yet
  auto free = control.balancer()->check_port(listener.port);
  if (!free) return refuse(free.error().code, "InvalidConfigurationRequest", "{}", free.error().message);
  return {};
}

Result<void> check_certificate(const State& state, const model::Listener& listener, const std::string& arn_text) {
  const auto* certificate = state.certificates.find(arn_text);
  if (!certificate || certificate->scope != listener.scope)
    return refuse(Code::NotFound, "CertificateNotFound", "Certificate '{}' not found", arn_text);
  return {};
}

// Protocol, certificates and policy fit each other and the load balancer. Fills in the default policy.
Result<void> check_listener(const State& state, model::Listener& listener, const model::LoadBalancer& balancer) {
  const auto& protocol = listener.protocol;
  bool network = protocol == "TCP" || protocol == "TLS", secure = protocol == "HTTPS" || protocol == "TLS";
  if (network != (balancer.type == "network"))
    return refuse(Code::InvalidArgument, "ValidationError", "Listener protocol '{}' is not supported by load balancers of type '{}'; use one of '{}'", protocol,
                  balancer.type, balancer.type == "network" ? "TCP, TLS" : "HTTP, HTTPS");
  if (!secure && !listener.certificates.empty())
    return refuse(Code::InvalidArgument, "ValidationError", "Certificates cannot be specified for {} listeners", protocol);
  if (!secure && !listener.ssl_policy.empty())
    return refuse(Code::InvalidArgument, "ValidationError", "An SSL policy cannot be specified for {} listeners", protocol);
  if (!secure) return {};
  if (listener.certificates.empty())
    return refuse(Code::InvalidArgument, "ValidationError", "A certificate must be specified for {} listeners", protocol);
  for (const auto& certificate : listener.certificates) TRY_VOID(check_certificate(state, listener, certificate));
  if (listener.ssl_policy.empty()) listener.ssl_policy = model::kDefaultTlsPolicy;
  if (!model::find_tls_policy(listener.ssl_policy))
    return refuse(Code::NotFound, "SSLPolicyNotFound", "SSL policy '{}' not found", listener.ssl_policy);
  return {};
}

std::string setting(const std::vector<model::Tag>& attributes, std::string_view key) {
  auto found = std::ranges::find(attributes, key, &model::Tag::key);
  return found == attributes.end() ? "" : found->value;
}

void erase_listener(State& state, const std::string& listener) {
  for (const auto& rule : rules_of(state, listener)) state.rules.erase(rule.arn);
  state.listeners.erase(listener);
}

}  // namespace

Result<model::LoadBalancer> create_load_balancer(Control& control, model::LoadBalancer balancer) {
  return control.commit([&]() -> Result<model::LoadBalancer> {
    auto& state = control.state();
    std::optional<model::LoadBalancer> same;
    state.load_balancers.each("", [&](const std::string&, const model::LoadBalancer& other) {
      if (other.scope == balancer.scope && other.name == balancer.name) same = other;
    });
    if (same) {
      if (same->type == balancer.type && same->scheme == balancer.scheme && std::ranges::is_permutation(same->subnets, balancer.subnets) &&
          std::ranges::is_permutation(same->security_groups, balancer.security_groups))
        return *same;
      return refuse(Code::AlreadyExists, "DuplicateLoadBalancerName",
                    "A load balancer with the same name '{}' exists, but with different settings", balancer.name);
    }
    balancer.arn = arn(balancer.scope, (balancer.type == "network" ? "loadbalancer/net/" : "loadbalancer/app/") + balancer.name + "/" + random_hex(16));
    std::uint32_t number = 0;
    auto digits = random_hex(8);
    std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
    balancer.dns_name = fmt::format("{}{}-{}.{}.elb.localhost", balancer.scheme == "internal" ? "internal-" : "", balancer.name, number,
                                    balancer.scope.region);
    balancer.created_at = control.now();
    state.load_balancers.put(balancer.arn, balancer);
    return balancer;
  });
}

Result<void> delete_load_balancer(Control& control, const std::string& arn_text) {
  return control.commit([&]() -> Result<void> {
    auto& state = control.state();
    const auto* balancer = state.load_balancers.find(arn_text);
    if (!balancer) return {};
    if (setting(balancer->attributes, "deletion_protection.enabled") == "true")
      return refuse(Code::FailedPrecondition, "OperationNotPermitted",
                    "Load balancer '{}' cannot be deleted because deletion protection is enabled", arn_text);
    for (const auto& listener : listeners_of(state, arn_text)) erase_listener(state, listener.arn);
    state.load_balancers.erase(arn_text);
    return {};
  });
}

Result<model::TargetGroup> create_target_group(Control& control, model::TargetGroup group) {
  return control.commit([&]() -> Result<model::TargetGroup> {
    auto& state = control.state();
    std::optional<model::TargetGroup> same;
    state.target_groups.each("", [&](const std::string&, const model::TargetGroup& other) {
      if (other.scope == group.scope && other.name == group.name) same = other;
    });
    if (same) {
      if (same->port == group.port && same->vpc == group.vpc && same->protocol == group.protocol && same->protocol_version == group.protocol_version &&
          same->target_type == group.target_type &&
          codec::to_json(same->health_check) == codec::to_json(group.health_check))
        return *same;
      return refuse(Code::AlreadyExists, "DuplicateTargetGroupName",
                    "A target group with the same name '{}' exists, but with different settings", group.name);
    }
    group.arn = arn(group.scope, "targetgroup/" + group.name + "/" + random_hex(16));
    group.created_at = control.now();
    state.target_groups.put(group.arn, group);
    return group;
  });
}

Result<void> delete_target_group(Control& control, const std::string& arn_text) {
  return control.commit([&]() -> Result<void> {
    auto& state = control.state();
    if (!state.target_groups.has(arn_text)) return {};
    if (!load_balancers_of(state, arn_text).empty())
      return refuse(Code::FailedPrecondition, "ResourceInUse", "Target group '{}' is currently in use by a listener or a rule", arn_text);
    for (const auto& [key, target] : state.targets.list(arn_text + "/")) state.targets.erase(key);
    state.target_groups.erase(arn_text);
    return {};
  });
}

std::vector<std::string> load_balancers_of(const State& state, const std::string& target_group) {
  std::vector<std::string> arns;
  state.rules.each("", [&](const std::string&, const model::Rule& rule) {
    if (std::ranges::find(rule.action.forward, target_group, &model::WeightedTargetGroup::target_group) == rule.action.forward.end()) return;
    const auto* listener = state.listeners.find(rule.listener);
    if (listener && std::ranges::find(arns, listener->load_balancer) == arns.end()) arns.push_back(listener->load_balancer);
  });
  return arns;
}

std::vector<model::Rule> rules_of(const State& state, const std::string& listener) {
  std::vector<model::Rule> rules;
  state.rules.each("", [&](const std::string&, const model::Rule& rule) {
    if (rule.listener == listener) rules.push_back(rule);
  });
  std::ranges::sort(rules, {}, [](const model::Rule& rule) { return rule.priority == 0 ? 1 << 20 : rule.priority; });
  return rules;
}

std::vector<model::Listener> listeners_of(const State& state, const std::string& load_balancer) {
  std::vector<model::Listener> listeners;
  state.listeners.each("", [&](const std::string&, const model::Listener& listener) {
    if (listener.load_balancer == load_balancer) listeners.push_back(listener);
  });
  return listeners;
}

Result<model::Listener> create_listener(Control& control, model::Listener listener, const model::Action& default_action) {
  return control.commit([&]() -> Result<model::Listener> {
    auto& state = control.state();
    TRY(auto balancer, balancer_of(state, listener.load_balancer));
    TRY_VOID(check_listener(state, listener, balancer));
    // Asked twice for the same, as scripts do that are run again: it is there.
    // Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateListener.html ("idempotent")
    for (const auto& other : listeners_of(state, listener.load_balancer))
      if (other.port == listener.port && other.protocol == listener.protocol && other.certificates == listener.certificates &&
          other.ssl_policy == listener.ssl_policy && codec::to_json(rules_of(state, other.arn).back().action) == codec::to_json(default_action))
        return other;
    TRY_VOID(check_port(control, listener));
    TRY_VOID(check_action(state, default_action, balancer));
    listener.arn = arn(listener.scope, "listener/" + tail(listener.load_balancer, "loadbalancer") + "/" + random_hex(16));
    state.listeners.put(listener.arn, listener);
    model::Rule rule{.arn = arn(listener.scope, "listener-rule/" + tail(listener.arn, "listener") + "/" + random_hex(16)),
                     .listener = listener.arn, .action = default_action};
    state.rules.put(rule.arn, rule);
    return listener;
  });
}

Result<model::Listener> modify_listener(Control& control, const std::string& arn_text, const ListenerChange& change) {
  return control.commit([&]() -> Result<model::Listener> {
    auto& state = control.state();
    TRY(auto listener, listener_of(state, arn_text));
    TRY(auto balancer, balancer_of(state, listener.load_balancer));
    auto before = codec::to_json(listener);
    bool moves = (change.port && *change.port != listener.port) || (change.protocol && *change.protocol != listener.protocol);
    listener.port = change.port.value_or(listener.port);
    listener.protocol = change.protocol.value_or(listener.protocol);
    if (change.protocol && (*change.protocol == "HTTP" || *change.protocol == "TCP")) {
      if (!change.certificate) listener.certificates.clear();
      if (!change.ssl_policy) listener.ssl_policy.clear();
    }
    if (change.ssl_policy) listener.ssl_policy = *change.ssl_policy;
    if (change.certificate) {
      std::erase(listener.certificates, *change.certificate);
      if (listener.certificates.empty()) listener.certificates.push_back(*change.certificate);
      else listener.certificates.front() = *change.certificate;
    }
    TRY_VOID(check_listener(state, listener, balancer));
    if (moves) TRY_VOID(check_port(control, listener));
    if (codec::to_json(listener) != before) state.listeners.put(listener.arn, listener);
    if (change.default_action) {
      TRY_VOID(check_action(state, *change.default_action, balancer));
      auto rules = rules_of(state, listener.arn);
      auto rule = rules.back();  // the default rule
      rule.action = *change.default_action;
      state.rules.put(rule.arn, rule);
    }
    return listener;
  });
}

Result<model::Listener> add_listener_certificates(Control& control, const std::string& arn_text, const std::vector<std::string>& certificates) {
  constexpr std::size_t kMost = 26;  // the default one and 25 others
  return control.commit([&]() -> Result<model::Listener> {
    TRY(auto listener, listener_of(control.state(), arn_text));
    if (listener.protocol != "HTTPS" && listener.protocol != "TLS")
      return refuse(Code::InvalidArgument, "ValidationError", "Certificates cannot be specified for {} listeners", listener.protocol);
    for (const auto& certificate : certificates) {
      TRY_VOID(check_certificate(control.state(), listener, certificate));
      if (std::ranges::find(listener.certificates, certificate) == listener.certificates.end()) listener.certificates.push_back(certificate);
    }
    if (listener.certificates.size() > kMost)
      return refuse(Code::ResourceExhausted, "TooManyCertificates", "A listener can have at most {} certificates beside its default one", kMost - 1);
    control.state().listeners.put(listener.arn, listener);
    return listener;
  });
}

Result<void> remove_listener_certificates(Control& control, const std::string& arn_text, const std::vector<std::string>& certificates) {
  return control.commit([&]() -> Result<void> {
    TRY(auto listener, listener_of(control.state(), arn_text));
    for (const auto& certificate : certificates) {
      if (!listener.certificates.empty() && listener.certificates.front() == certificate)
        return refuse(Code::FailedPrecondition, "OperationNotPermitted", "Certificate '{}' is the listener's default certificate; replace it by ModifyListener", certificate);
      std::erase(listener.certificates, certificate);
    }
    control.state().listeners.put(listener.arn, listener);
    return {};
  });
}

Result<void> delete_listener(Control& control, const std::string& arn_text) {
  return control.commit([&]() -> Result<void> {
    TRY(auto listener, listener_of(control.state(), arn_text));
    erase_listener(control.state(), listener.arn);
    return {};
  });
}

Result<model::Rule> create_rule(Control& control, model::Rule rule) {
  return control.commit([&]() -> Result<model::Rule> {
    auto& state = control.state();
    TRY(auto listener, listener_of(state, rule.listener));
    TRY(auto balancer, balancer_of(state, listener.load_balancer));
    if (balancer.type == "network")
      return refuse(Code::InvalidArgument, "InvalidConfigurationRequest", "Listeners of network load balancers have no rules but the default one; '{}' is such a one",
                    balancer.name);
    for (const auto& other : rules_of(state, rule.listener))
      if (other.priority == rule.priority)
        return refuse(Code::AlreadyExists, "PriorityInUse", "Priority '{}' is currently in use", rule.priority);
    TRY_VOID(check_action(state, rule.action, balancer));
    rule.arn = arn(listener.scope, "listener-rule/" + tail(rule.listener, "listener") + "/" + random_hex(16));
    state.rules.put(rule.arn, rule);
    return rule;
  });
}

Result<model::Rule> modify_rule(Control& control, const std::string& arn_text, const std::optional<std::vector<model::Condition>>& conditions,
                                const std::optional<model::Action>& action) {
  return control.commit([&]() -> Result<model::Rule> {
    auto& state = control.state();
    TRY(auto rule, rule_of(state, arn_text));
    TRY(auto listener, listener_of(state, rule.listener));
    TRY(auto balancer, balancer_of(state, listener.load_balancer));
    if (conditions) {
      if (rule.priority == 0)
        return refuse(Code::FailedPrecondition, "OperationNotPermitted", "Default rule '{}' cannot be modified; use ModifyListener", arn_text);
      rule.conditions = *conditions;
    }
    if (action) {
      TRY_VOID(check_action(state, *action, balancer));
      rule.action = *action;
    }
    state.rules.put(rule.arn, rule);
    return rule;
  });
}

Result<void> delete_rule(Control& control, const std::string& arn_text) {
  return control.commit([&]() -> Result<void> {
    TRY(auto rule, rule_of(control.state(), arn_text));
    if (rule.priority == 0)
      return refuse(Code::FailedPrecondition, "OperationNotPermitted", "Default rule '{}' cannot be deleted", arn_text);
    control.state().rules.erase(arn_text);
    return {};
  });
}

Result<std::vector<model::Rule>> set_rule_priorities(Control& control, const std::vector<std::pair<std::string, int>>& priorities) {
  return control.commit([&]() -> Result<std::vector<model::Rule>> {
    auto& state = control.state();
    std::vector<model::Rule> changed;
    for (const auto& [arn_text, priority] : priorities) {
      TRY(auto rule, rule_of(state, arn_text));
      if (rule.priority == 0)
        return refuse(Code::FailedPrecondition, "OperationNotPermitted", "Default rule '{}' has no priority that could be set", arn_text);
      rule.priority = priority;
      state.rules.put(rule.arn, rule);
      changed.push_back(rule);
    }
    for (const auto& rule : changed)
      for (const auto& other : rules_of(state, rule.listener))
        if (other.arn != rule.arn && other.priority == rule.priority)
          return refuse(Code::AlreadyExists, "PriorityInUse", "Priority '{}' is currently in use", rule.priority);
    return changed;
  });
}

Result<void> register_targets(Control& control, const std::string& target_group, const std::vector<TargetAddress>& targets) {
  return control.commit([&]() -> Result<void> {
    auto& state = control.state();
    const auto* group = state.target_groups.find(target_group);
    if (!group) return refuse(Code::NotFound, "TargetGroupNotFound", "Target groups '{}' not found", target_group);
    auto vpc = state.vpcs.get(network_key(group->scope, group->vpc));
    for (const auto& wanted : targets) {
      auto address = model::parse_ipv4(wanted.address);
      if (!address)
        return refuse(Code::InvalidArgument, "ValidationError", "The target '{}' is not an IPv4 address{}", wanted.address,
                      group->target_type == "instance" ? "; register a machine by the address at which this host reaches it" : "");
      auto range = vpc ? model::parse_cidr(vpc->cidr) : fail(Code::NotFound, "no VPC");
      if (group->target_type == "ip" && range && !range->contains(*address))
        return refuse(Code::InvalidArgument, "InvalidTarget", "The IP address '{}' is not in the range {} of the VPC {}", wanted.address,
                      vpc->cidr, vpc->id);
      model::Target target{.target_group = target_group, .address = wanted.address, .port = wanted.port, .registered_at = control.now()};
      auto known = state.targets.get(target_key(target));
      if (known && !known->draining_until) continue;
      state.targets.put(target_key(target), target);
    }
    return {};
  });
}

Result<void> deregister_targets(Control& control, const std::string& target_group, const std::vector<TargetAddress>& targets) {
  return control.commit([&]() -> Result<void> {
    auto& state = control.state();
    const auto* group = state.target_groups.find(target_group);
    if (!group) return refuse(Code::NotFound, "TargetGroupNotFound", "Target groups '{}' not found", target_group);
    for (const auto& wanted : targets) {
      auto key = target_key(target_group, wanted.address, wanted.port);
      auto target = state.targets.get(key);
      if (!target)
        return refuse(Code::InvalidArgument, "InvalidTarget", "The following targets are not registered: '{}:{}'", wanted.address, wanted.port);
      if (target->draining_until) continue;
      target->draining_until = control.now() + group->deregistration_delay;
      state.targets.put(key, *target);
    }
    return {};
  });
}

std::optional<Time> remove_drained_targets(Control& control, const std::set<std::string>& draining, bool fresh) {
  auto& state = control.state();
  if (draining.empty()) return std::nullopt;
  std::set<std::string> of_tasks;
  state.tasks.each("", [&](const std::string&, const model::Task& task) {
    if (!task.forgotten && !task.service.empty()) of_tasks.insert(task.address);
  });
  std::optional<Time> next;
  for (const auto& key : draining) {
    auto target = *state.targets.find(key);
    if (of_tasks.contains(target.address)) continue;
    bool idle = false;
    if (fresh)
      for (const auto& health : control.target_health(target.target_group))
        idle |= health.address == target.address && health.port == target.port && health.state == model::TargetState::Draining &&
                health.in_flight == 0;
    if (idle || control.now() >= *target.draining_until) state.targets.erase(key);
    else if (!next || *target.draining_until < *next) next = target.draining_until;
  }
  return next;
}

}  // namespace watari::control
