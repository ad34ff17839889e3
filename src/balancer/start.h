#pragma once
// A balancer that also hands over access logs.
#include <string>
#include <utility>
#include <vector>

#include "balancer/balancer.h"

namespace watari::balancer {

// Requests of a load balancer whose access logs are on (attribute access_logs.s3.enabled), as ALB writes them.
struct AccessLogEntries {
  model::LoadBalancer load_balancer;
  std::vector<std::pair<Time, std::string>> lines;
};
// Called on the balancer thread about once a second; what it returned from is not given again, what it was killed in is.
using AccessLogSink = std::function<void(const AccessLogEntries&)>;

// As Balancer::start().
Result<std::unique_ptr<Balancer>> start(Options options, Balancer::Observer observer, AccessLogSink access_log);

}  // namespace watari::balancer
