#pragma once
// The AppSpec file of an ECS deployment: YAML or JSON, keys in any case, version 0.0 or 1 as a number or a string.
// Source: https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-resources.html
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace watari::aws::codedeploy {

struct AppSpec {
  struct Network {
    std::vector<std::string> subnets, security_groups;
    bool assign_public_ip = false;
  };
  struct Hook {
    std::string event;     // "BeforeInstall"
    std::string function;  // URL, task definition, or a function's name or ARN
  };
  std::string task_definition;
  std::string container;
  int container_port = 0;
  std::string platform_version;
  std::optional<Network> network;
  std::vector<std::string> capacity_providers;
  std::vector<Hook> hooks;  // in the order of the events
};

// The events that hooks can be given for, in the order of a deployment.
inline constexpr std::string_view kHookEvents[] = {"BeforeInstall", "AfterInstall", "AfterAllowTestTraffic", "BeforeAllowTraffic",
                                                   "AfterAllowTraffic"};

// InvalidRevisionException with the place or the key that is wrong. Keys that nobody acts upon are refused by name.
Result<AppSpec> parse_app_spec(const std::string& text);

}  // namespace watari::aws::codedeploy
