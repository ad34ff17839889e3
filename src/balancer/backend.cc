// A target group as a HAProxy backend.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html
#include "balancer/compiler.h"
#include "balancer/grpc_check.h"
#include "base/strings.h"

namespace watari::balancer {

namespace {

constexpr Millis kQuick{200};  // between probes of a target that is down or new

std::string health_check(const model::TargetGroup& group, const std::string& host) {
  const auto& check = group.health_check;
  auto out = fmt::format("  timeout check {}s\n", check.timeout.count());
  if (check.protocol != "HTTP" && check.protocol != "HTTPS") return out + "  option tcp-check\n";
  if (group.protocol_version == "GRPC") return out + grpc_check(check.path, host, check.matcher, check.protocol == "HTTPS");
  const char* version = group.protocol_version == "HTTP2" ? "HTTP/2" : "HTTP/1.1";
  out += "  option httpchk\n  http-check send meth GET uri '" + quoted(check.path) + "' ver " + version + " hdr Host " + host +
         " hdr User-Agent ELB-HealthChecker/2.0\n";
  return out + "  http-check expect status " + check.matcher + "\n";
}

// A client stays with its target by a cookie. Dynamic: made of the target's address, so that it names the same target after a
// reload, whichever slot that sits in. Of an application's cookie, the companion names the slot, which a reload keeps.
std::string stickiness(const model::TargetGroup& group) {
  if (attribute(group.attributes, "stickiness.enabled", "false") != "true") return "";
  if (attribute(group.attributes, "stickiness.type", "lb_cookie") == "lb_cookie") {
    auto seconds = attribute(group.attributes, "stickiness.lb_cookie.duration_seconds", "86400");
    return "  dynamic-cookie-key " + backend_name(group.arn) + "\n  cookie AWSALB insert indirect dynamic httponly attr \"Max-Age=" + seconds + "\"\n";
  }
  auto name = attribute(group.attributes, "stickiness.app_cookie.cookie_name", "");
  auto seconds = attribute(group.attributes, "stickiness.app_cookie.duration_seconds", "86400");
  return "  use-server %[req.cook(AWSALBAPP-0)] if { req.cook(AWSALBAPP-0) -m found }\n"
         "  http-response add-header Set-Cookie \"AWSALBAPP-0=%[srv_name,regsub(^o,s)]; Path=/; HttpOnly; Max-Age=" + seconds +
         "\" if { res.cook(" + name + ") -m found }\n";
}

std::string server_options(const model::TargetGroup& group) {
  bool secure = group.protocol == "HTTPS" || group.protocol == "TLS", two = group.protocol_version != "HTTP1";
  std::string out = secure ? std::string(" ssl verify none") : "";  // ALB does not verify its targets either
  // Over TLS by ALPN alone: with a `proto` HAProxy's checks would begin to speak before the handshake is done.
  if (two) out += secure ? " alpn h2" : " proto h2";
  if (attribute(group.attributes, "proxy_protocol_v2.enabled", "false") == "true") out += " send-proxy-v2";
  return out;
}

std::string check_options(const model::TargetGroup& group) {
  const auto& check = group.health_check;
  std::string out;
  bool secure = group.protocol == "HTTPS" || group.protocol == "TLS", over_tls = check.protocol == "HTTPS";
  if (secure && !over_tls) out += " no-check-ssl";
  if (over_tls) out += secure ? " check-ssl" : " check-ssl verify none";  // said, since a port of its own would else mean plain
  if (group.protocol_version != "HTTP1" && over_tls) out += " check-alpn h2";
  else if (group.protocol_version == "HTTP2") out += " check-proto h2";
  if (check.port != "traffic-port") out += " port " + check.port;
  return out;
}

// Where there is a target and no connection to it can be made, HAProxy says 503; ALB says that only where there is none: 504 when the
// last attempt got no answer, 502 when it was refused. HAProxy does not tell its rules which, but the kernel does: a socket that was
// refused has lost its address, one that still waits has it. Answers that HAProxy did not make itself are let through by the first rule.
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html#http-502-issues;
// inet_reset_saddr() in the kernel's __inet_stream_connect()
//
// What the load balancer answers itself is counted by kind in the backend's table, by atomic counters that only an error costs anything (its
// statistics know 5xx only): gpc0 are 502, gpc1 are 504, the rest of its 5xx are 503. There is an entry for each first character of a client's address. Not
// `store gpc(2)`: src_inc_gpc crashes HAProxy 2.6.12.
std::string own_errors(const std::string& backend) {
  auto counted = [&](const char* error, const char* counter) {
    return fmt::format("  http-error status {} content-type text/html hdr Server awselb/2.0 lf-string '%[{}({}),iif(,)]{}'\n", std::string_view(error, 3), counter,
                       backend, error_page(error));
  };
  auto page = error_page("%[var(txn.from,0),add(0),bool,iif(504 Gateway Time-out,502 Bad Gateway)]");
  return "  stick-table type string len 1 size 32 store gpc0,gpc1\n" + counted("502 Bad Gateway", "src_inc_gpc0") + counted("504 Gateway Time-out", "src_inc_gpc1") +
         "  http-request return status 503 content-type text/html hdr Server awselb/2.0 string '" + error_page("503 Service Temporarily Unavailable") +
         "' if { nbsrv eq 0 }\n  http-error status 503 content-type text/html hdr Server awselb/2.0 lf-string "
         "'%[bc_src,set-var(txn.from),bytes(0,0)]%[bool(true),set-var(txn.unconnected),iif(,)]" + page + "'\n"
         "  http-after-response allow if !{ status 503 } or !{ var(txn.unconnected) -m found }\n"
         "  http-after-response set-var(txn.counted) src_inc_gpc1(" + backend + ") if { var(txn.from,0),add(0) gt 0 }\n"
         "  http-after-response set-var(txn.counted) src_inc_gpc0(" + backend + ") if !{ var(txn.from,0),add(0) gt 0 }\n"
         "  http-after-response set-status 504 reason \"Gateway Time-out\" if { var(txn.from,0),add(0) gt 0 }\n"
         "  http-after-response set-status 502 reason \"Bad Gateway\" if { status 503 }\n";
}

}  // namespace

void Compiler::add_backend(const model::TargetGroup& group) {
  const auto& check = group.health_check;
  Backend backend{.name = backend_name(group.arn), .group = group.arn, .rise = check.healthy_threshold, .fall = check.unhealthy_threshold,
                  .interval = check.interval, .timeout = check.timeout};
  auto algorithm = attribute(group.attributes, "load_balancing.algorithm.type", "round_robin");
  std::string balance = algorithm == "least_outstanding_requests" ? "leastconn" : algorithm == "weighted_random" ? "random" : "roundrobin";
  const auto& user = *group_users.at(group.arn);
  bool http = group.protocol == "HTTP" || group.protocol == "HTTPS";
  auto idle = idle_timeout(user);
  auto& head = backend.head;
  head = "  # " + group.arn + "\n";
  backend.cuts = http || attribute(group.attributes, "deregistration_delay.connection_termination.enabled", "false") == "true";
  if (http) {
    // What a retry needs is a copy of every request (about 1 µs): only where there is another target, and the method allows it.
    head += "  balance " + balance + "\n  retry-on conn-failure empty-response\n"
            "  http-request allow if { nbsrv ge 2 } { method GET HEAD OPTIONS }\n  http-request disable-l7-retry\n" + stickiness(group) + own_errors(backend.name);
  } else {
    bool by_source = attribute(group.attributes, "stickiness.enabled", "false") == "true";
    head += std::string("  mode tcp\n  balance ") + (by_source ? "source\n  hash-type consistent\n" : "roundrobin\n");
  }
  head += "  option allbackups\n  timeout server " + idle + "s\n  timeout tunnel " + idle + "s\n";
  if (auto vpc = options.namespaces.find(group.vpc); vpc != options.namespaces.end() && group.target_type != "instance") {
    head += "  # namespace " + vpc->second + "\n";
    backend.server = " namespace " + vpc->second.substr(0, vpc->second.find(' '));
  }
  // ALB sends "address:port" as the Host. HAProxy 2.6 cannot (no such value in checks), so it is the load balancer's name.
  head += health_check(group, to_lower(user.dns_name));
  backend.sticky = http && attribute(group.attributes, "stickiness.enabled", "false") == "true";
  backend.tls = group.protocol == "HTTPS" || group.protocol == "TLS";
  backend.server += server_options(group);
  if (check.enabled) {
    // While a target is down it is asked more often than the interval says: the sooner a new one serves, the better.
    auto how = check_options(group);
    backend.checked = fmt::format(" check inter {}s downinter {}ms rise {} fall {}", check.interval.count(), kQuick.count(),
                                  check.healthy_threshold, check.unhealthy_threshold) + how;
    backend.first = fmt::format(" check inter {}ms rise 1 fall 1", kQuick.count()) + how;
    auto slow_start = attribute(group.attributes, "slow_start.duration_seconds", "0");
    backend.slow_start = slow_start != "0";
    if (backend.slow_start) backend.checked += " slowstart " + slow_start + "s";
  }
  // NLB closes connections to targets that became unhealthy.
  if (!http && check.enabled) backend.checked += " on-marked-down shutdown-sessions";
  plan.backends.push_back(std::move(backend));
}

}  // namespace watari::balancer
