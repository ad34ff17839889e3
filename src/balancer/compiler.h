#pragma once
// What the parts of compile() share. Pure; lives for one compilation.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "balancer/compile.h"

namespace watari::balancer {

constexpr Millis kConnectTimeout{2500};  // to a target; tried again 3 times: 10 seconds, as with ALB

std::string attribute(const std::vector<model::Tag>& attributes, std::string_view key, std::string otherwise);
// For HAProxy's strong quotes, in which a quote itself cannot stand.
std::string quoted(const std::string& text);
// ALB's page for an error ("502 Bad Gateway").
std::string error_page(std::string_view error);
std::string idle_timeout(const model::LoadBalancer& balancer);

// A listener with what belongs to it, found once.
struct ListenerView {
  const model::Listener* listener = nullptr;
  const model::LoadBalancer* balancer = nullptr;
  std::vector<const model::Rule*> rules;  // by priority, the default rule last
};

struct Compiler {
  const Snapshot& snapshot;
  const CompileOptions& options;
  Plan plan = {};
  std::map<std::string, const model::LoadBalancer*> group_users = {};  // target group -> a load balancer that forwards to it
  std::map<int, std::vector<ListenerView>> ports = {};

  Plan run();
  std::optional<std::set<std::string>> reweigh(const Snapshot& before);

  bool reachable(const model::TargetGroup& group) const;
  std::string split(const model::Rule& rule) const;
  // Notes how the rule splits its traffic; returns the expression that draws a backend's name.
  std::string draw(const model::Rule& rule);
  // The port's listening sockets (listening.h), with further options.
  std::string binds(int port, const std::vector<ListenerView>& listeners, const std::string& with);
  // Bind options of a TLS port; notes the certificates' files.
  std::string tls_options(int port, const std::vector<ListenerView>& listeners);

  void add_http_port(int port, const std::vector<ListenerView>& listeners);  // frontend.cc
  void add_tcp_port(int port, const ListenerView& listener);
  void add_backend(const model::TargetGroup& group);  // backend.cc
};

}  // namespace watari::balancer
