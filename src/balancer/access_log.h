#pragma once
// Requests in the words of ALB's access logs, made of the lines that HAProxy writes (request_log.h).
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html#access-log-entry-format
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "balancer/start.h"

namespace watari::balancer {

bool logs_access(const model::LoadBalancer& balancer);

// Of HAProxy: what a line of a logged request holds, as a log-format string.
std::string access_log_format();

class AccessLog {
 public:
  // Takes what names in lines stand for.
  void know(const Snapshot& snapshot);
  // Adds the request to what its load balancer is to be told; nothing for requests of load balancers without access logs.
  void add(std::string_view line);
  // What was added since the last call, by load balancer.
  std::vector<AccessLogEntries> take();

 private:
  struct Rule {
    const model::Rule* rule;
    const model::Listener* listener;
    const model::LoadBalancer* balancer;
  };
  Snapshot snapshot_;
  std::map<std::string, Rule, std::less<>> rules_;          // by rule_key()
  std::map<std::string, std::string, std::less<>> groups_;  // backend -> ARN
  std::map<std::string, AccessLogEntries> entries_;         // by the load balancer's ARN
};

}  // namespace watari::balancer
