// A listener port as a HAProxy frontend. Every instruction here is paid for by every request: README.md says what each costs.
#include <algorithm>
#include <set>
#include <span>

#include "balancer/access_log.h"
#include "balancer/compiler.h"
#include "base/digest.h"
#include "base/strings.h"

namespace watari::balancer {

namespace {

// The headers that ALB adds, and how it treats those that came.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html, load-balancer-request-tracing.html
struct Headers {
  std::string mode;  // append | preserve | remove
  bool client_port = false, tls_version = false, drop_invalid = false;
  bool operator==(const Headers&) const = default;

  static Headers of(const model::LoadBalancer& balancer) {
    const auto& attributes = balancer.attributes;
    return {.mode = attribute(attributes, "routing.http.xff_header_processing.mode", "append"),
            .client_port = attribute(attributes, "routing.http.xff_client_port.enabled", "false") == "true",
            .tls_version = attribute(attributes, "routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false") == "true",
            .drop_invalid = attribute(attributes, "routing.http.drop_invalid_header_fields.enabled", "false") == "true"};
  }
};

struct HttpPort {
  Compiler& compiler;
  int port;
  const std::vector<ListenerView>& listeners;
  bool tls = listeners.front().listener->protocol == "HTTPS";
  std::string before = {};  // http-request rules
  std::string use = {};     // use_backend rules
  std::string bodies = {};  // answers without a target, in the order of the rules

  std::string scheme() const { return tls ? "https" : "http"; }
  std::string relay() const { return fmt::format("relay-{}", port); }
  // The condition that a request is for this listener; "" when the port has no other.
  std::string host_of(const ListenerView& view) const {
    return listeners.size() > 1 ? " { var(txn.balancer) -m str " + to_lower(view.balancer->dns_name) + " }" : "";
  }
  // Whom a request is for, where load balancers share the port (on AWS the address tells): who is called so, else who has a host-header rule
  // for the name, else who has a certificate for it; of several the first by name.
  std::string choose_balancer() const {
    if (listeners.size() < 2) return "";
    std::string called, ruled, certified;
    auto take = [](const ListenerView& view, const std::string& condition) {
      return "  http-request set-var(txn.balancer) str(" + to_lower(view.balancer->dns_name) + ") if !{ var(txn.balancer) -m found } " + condition + "\n";
    };
    auto take_names = [&](const ListenerView& view, std::span<const std::string> names) {
      constexpr std::size_t kOnALine = 8;  // HAProxy takes 64 words
      std::string out;
      for (auto rest = names; !rest.empty(); rest = rest.subspan(std::min(kOnALine, rest.size()))) {
        auto some = rest.first(std::min(kOnALine, rest.size()));
        out += take(view, condition_text({{.field = "host-header", .values = {some.begin(), some.end()}}}));
      }
      return out;
    };
    for (const auto& view : listeners) {
      called += take(view, "{ var(txn.host) -m str " + to_lower(view.balancer->dns_name) + " }");
      for (const auto* rule : view.rules)
        for (const auto& condition : rule->conditions)
          if (condition.field == "host-header") ruled += take_names(view, condition.values);
      for (const auto& arn : view.listener->certificates)
        if (const auto* certificate = compiler.snapshot.certificates.find(arn)) certified += take_names(view, certificate->names);
    }
    return called + ruled + certified;
  }
  // Rules that only forward need no second step: their conditions stand at the backend's choice.
  bool logged = std::ranges::any_of(listeners, [](const ListenerView& view) { return logs_access(*view.balancer); });
  bool direct() const {
    return !logged && std::ranges::all_of(listeners, [](const ListenerView& view) {
      return std::ranges::all_of(view.rules, [](const model::Rule* rule) { return rule->action.type == model::ActionType::Forward && !rule->action.sticky; });
    });
  }
  // Whether every target takes HTTP/1: then several headers can be written as one.
  bool plain_targets() const {
    for (const auto& view : listeners)
      for (const auto* rule : view.rules)
        for (const auto& share : rule->action.forward)
          if (const auto* group = compiler.snapshot.target_groups.find(share.target_group); group && group->protocol_version != "HTTP1") return false;
    return true;
  }

  void add_rule(const ListenerView& view, const model::Rule& rule, bool is_direct) {
    auto condition = host_of(view);
    if (auto own = condition_text(rule.conditions); !own.empty()) condition += " " + own;
    if (is_direct) {
      use += "  use_backend %[" + compiler.draw(rule) + "]" + (condition.empty() ? "" : " if" + condition) + "\n";
      return;
    }
    auto key = rule_key(rule.arn), chosen = " { var(txn.rule) -m str " + key + " }";
    before += "  http-request set-var(txn.rule) str(" + key + ") if !{ var(txn.rule) -m found }" + condition + "\n";
    if (rule.action.type == model::ActionType::Forward) add_forward(rule, chosen);
    else add_answer(rule.action, chosen);
  }

  void add_forward(const model::Rule& rule, const std::string& chosen) {
    if (!rule.action.sticky) {
      use += "  use_backend %[" + compiler.draw(rule) + "] if" + chosen + "\n";
      return;
    }
    std::string names;
    for (const auto& share : rule.action.forward) names += " " + backend_name(share.target_group);
    bodies += "  http-request set-var(txn.to) req.cook(AWSALBTG) if" + chosen + " { req.cook(AWSALBTG) -m str" + names + " }\n";
    bodies += "  http-request set-var(txn.to) " + compiler.draw(rule) + " if" + chosen + " !{ var(txn.to) -m found }\n";
    auto cookie = fmt::format("=%[var(txn.to)]; Max-Age={}; Path=/", rule.action.sticky_duration.count());
    bodies += "  http-response add-header Set-Cookie \"AWSALBTG" + cookie + "\" if" + chosen + "\n";
    bodies += "  http-response add-header Set-Cookie \"AWSALBTGCORS" + cookie + "; SameSite=None" + (tls ? "; Secure" : "") + "\" if" + chosen + "\n";
    use += "  use_backend %[var(txn.to)] if" + chosen + "\n";
  }

  void add_answer(const model::Action& action, const std::string& chosen) {
    if (action.type == model::ActionType::Redirect) {
      if (logged) bodies += "  http-request set-var-fmt(txn.location) \"" + location_format(action, scheme()) + "\" if" + chosen + "\n";
      bodies += "  http-request redirect location \"" + location_format(action, scheme()) + "\" code " +
                (action.status_code == "HTTP_301" ? "301" : "302") + " if" + chosen + "\n";
      return;
    }
    bodies += "  http-request return status " + action.status_code;
    if (!action.body.empty() && action.status_code != "204") {  // which has none, and HAProxy refuses a configuration in which it has
      auto file = "body-" + sha256_hex(action.body).substr(0, 16);
      compiler.plan.files[file] = action.body;
      bodies += " content-type " + (action.content_type.empty() ? "text/plain" : action.content_type) + " file " + compiler.options.run_directory + "/" + file;
    }
    bodies += " hdr Server awselb/2.0 if" + chosen + "\n";
  }

  // Draws, a look-up and a search by name cost more than asking whether a server is up, and threads meet at each of them.
  std::string shortcuts(bool is_direct) const {
    if (!is_direct || listeners.size() > 1 || listeners.front().rules.size() != 1) return "";
    const auto& rule = *listeners.front().rules.front();
    std::set<std::string> backends;
    for (const auto& share : rule.action.forward)
      if (const auto* group = compiler.snapshot.target_groups.find(share.target_group); group && compiler.reachable(*group))
        backends.insert(backend_name(share.target_group));
    auto key = rule_key(rule.arn);
    if (!backends.empty()) compiler.plan.shortcuts[key] = std::move(backends);
    return shortcut_mark(key);
  }

  static std::string new_id() { return "1-%[date,hex,bytes(8,8),lower]-%[var(sess.trace)]%[rand(90000000),add(10000000)]"; }

  // `when` is "" or further conditions. A request that brings none of these headers, as nearly all do, is done after three rules.
  std::string headers(const Headers& how, const std::string& when, bool plain) const {
    auto if_also = [&](const std::string& condition) { return condition.empty() && when.empty() ? "\n" : " if" + condition + when + "\n"; };
    std::string source = how.client_port ? "%[var(sess.source)]:%[src_port]" : "%[var(sess.source)]";
    std::string id = logged ? "%[var(txn.id)]" : new_id();
    // ALB: valid names are letters, digits and hyphens.
    std::string out = how.drop_invalid ? "  http-request del-header '[^A-Za-z0-9-]' -m reg" + if_also("") : "";
    out += "  http-request set-var(txn.forwarded) bool(1) if { req.hdr_names -m sub x-forwarded- x-amzn- }" + when + "\n";
    std::vector<std::pair<std::string, std::string>> added;
    if (how.mode == "append") added.emplace_back("X-Forwarded-For", source);
    added.emplace_back("X-Forwarded-Proto", scheme());
    added.emplace_back("X-Forwarded-Port", std::to_string(port));
    added.emplace_back("X-Amzn-Trace-Id", "Root=" + id);
    std::string none = " !{ var(txn.forwarded) -m found }", text;
    for (const auto& [name, value] : added) {
      if (!plain) out += "  http-request add-header " + name + " " + value + if_also(none);
      else text += text.empty() ? name + " \"" + value : "\\r\\n" + name + ": " + value;
    }
    if (plain) out += "  http-request add-header " + text + "\"" + if_also(none);
    if (how.tls_version && tls)
      out += "  http-request set-header X-Amzn-Tls-Version %[ssl_fc_protocol]" + if_also("") +
             "  http-request set-header X-Amzn-Tls-Cipher-Suite %[ssl_fc_cipher]" + if_also("");
    out += "  http-request allow" + if_also(none);
    if (how.mode == "append") {
      out += "  http-request set-var(txn.xff) req.fhdr(x-forwarded-for)" + if_also(" { req.fhdr_cnt(x-forwarded-for) eq 1 }");
      out += "  http-request set-header X-Forwarded-For \"%[var(txn.xff)], " + source + "\"" + if_also(" { var(txn.xff) -m found }");
      out += "  http-request add-header X-Forwarded-For " + source + if_also(" !{ var(txn.xff) -m found }");
    } else if (how.mode == "remove") {
      out += "  http-request del-header X-Forwarded-For" + if_also("");
    }
    out += "  http-request set-header X-Forwarded-Proto " + scheme() + if_also("") +
           "  http-request set-header X-Forwarded-Port " + std::to_string(port) + if_also("") +
           "  http-request set-var(txn.trace) req.fhdr(x-amzn-trace-id),regsub(Self=[^;]*;?,),regsub(;$,)" + if_also(" { req.fhdr(x-amzn-trace-id) -m found }") +
           "  http-request set-header X-Amzn-Trace-Id Root=" + id + if_also(" !{ var(txn.trace) -m found }") +
           "  http-request set-header X-Amzn-Trace-Id \"Root=" + id + ";%[var(txn.trace)]\"" +
           if_also(" { var(txn.trace) -m found } !{ var(txn.trace) -m sub Root= }") +
           "  http-request set-header X-Amzn-Trace-Id \"Self=" + id + ";%[var(txn.trace)]\"" + if_also(" { var(txn.trace) -m sub Root= }");
    return out;
  }

  std::string all_headers() const {
    auto plain = plain_targets();
    auto first = Headers::of(*listeners.front().balancer);
    if (std::ranges::all_of(listeners, [&](const ListenerView& view) { return Headers::of(*view.balancer) == first; })) return headers(first, "", plain);
    std::string out;
    for (const auto& view : listeners) out += headers(Headers::of(*view.balancer), host_of(view), plain);
    return out;
  }

  std::string text() {
    bool is_direct = direct();
    int idle = 1;
    for (const auto& view : listeners) {
      idle = std::max(idle, parse_number<int>(idle_timeout(*view.balancer)).value_or(60));
      (is_direct ? use : before) += "  # " + view.balancer->name + "\n";
      for (const auto* rule : view.rules) add_rule(view, *rule, is_direct);
    }
    auto head = all_headers();
    auto out = fmt::format("frontend port-{}\n", port);
    auto secure = tls ? compiler.tls_options(port, listeners) : "";
    out += compiler.binds(port, listeners, secure) + "  bind unix@" + compiler.options.run_directory + "/" + relay() + ".sock mode 600 accept-proxy\n  option idle-close-on-response\n";
    // At most some hundred requests a second are timed: those are enough to know the latency, and each costs some 15 microseconds.
    out += logged ? "  log-format \"" + access_log_format() + "\"\n"
                  : "  log-format \"L %b %s %Tr\"\n  http-request set-log-level silent if "
                    "{ fe_req_rate gt 4000 } { rand(8) gt 0 } or { fe_req_rate gt 200 } { rand(32) gt 0 }\n";
    out += fmt::format("  timeout client {0}s\n  timeout http-keep-alive {0}s\n  timeout http-request {0}s\n", idle);
    out += "  tcp-request session set-var-fmt(sess.source) %[src]\n"
           "  tcp-request session set-var-fmt(sess.trace) %[rand,hex,bytes(8,8),lower]%[rand,hex,bytes(8,8),lower]\n"
           "  http-request allow if { nbsrv(" + relay() + ") gt 0 }\n";
    auto all = before + bodies + use;
    if (logged) out += "  http-request set-var(txn.agent) req.fhdr(user-agent)\n  http-request set-var-fmt(txn.id) " + new_id() + "\n";
    if (logged || listeners.size() > 1 || all.contains("txn.host")) out += "  http-request set-var(txn.host) req.hdr(host),host_only,lower\n";
    if (all.contains("txn.query"))
      out += "  http-request set-var-fmt(txn.query) ?%[query] if { query -m len gt 0 }\n"
             "  http-request set-var(txn.query) str() if !{ query -m len gt 0 }\n";
    out += choose_balancer() + before;
    out += bodies + head + "  use_backend " + relay() + " if { nbsrv(" + relay() + ") gt 0 }\n" + shortcuts(is_direct) + use + "  default_backend nobody\n\n";
    // A process that has been replaced relays what still comes over its connections to its successor, which knows better: the
    // server is enabled then.
    return out + "backend " + relay() + "\n  retry-on conn-failure empty-response\n  http-request disable-l7-retry if !{ method GET HEAD OPTIONS }\n"
           "  server next unix@" + compiler.options.run_directory + "/" + relay() + ".sock send-proxy-v2 disabled\n\n";
  }
};

}  // namespace

void Compiler::add_http_port(int port, const std::vector<ListenerView>& listeners) {
  plan.frontends += HttpPort{.compiler = *this, .port = port, .listeners = listeners}.text();
}

void Compiler::add_tcp_port(int port, const ListenerView& view) {
  auto out = fmt::format("frontend port-{}\n  # {}\n  mode tcp\n  no log\n", port, view.balancer->name);
  auto secure = view.listener->protocol == "TLS" ? tls_options(port, {view}) : "";
  out += binds(port, {view}, secure);
  auto idle = attribute(view.listener->attributes, "tcp.idle_timeout.seconds", idle_timeout(*view.balancer));
  out += "  timeout client " + idle + "s\n";
  for (const auto* rule : view.rules) out += "  use_backend %[" + draw(*rule) + "]\n";
  plan.frontends += out + "  default_backend broken\n\n";
}

}  // namespace watari::balancer
