#include "aws/codedeploy/wire.h"

#include <algorithm>
#include <set>

#include "aws/error.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/strings.h"

namespace watari::aws::codedeploy {

std::string new_id() {
  auto digits = random_hex(32);
  for (std::size_t at : {8, 13, 18, 23}) digits.insert(at, "-");
  return digits;
}

Result<model::CodeDeployApplication> find_application(const Call& call, const std::string& name) {
  auto found = state(call).code_deploy_applications.get(control::application_key(call.scope, name));
  if (!found) return error("ApplicationDoesNotExistException", "No application found for name: {}", name);
  return *found;
}

Result<model::CodeDeployGroup> find_group(const Call& call, const std::string& application, const std::optional<std::string>& name) {
  TRY_VOID(find_application(call, application));
  if (!name || name->empty()) return error("DeploymentGroupNameRequiredException", "Deployment Group name is missing");
  auto found = state(call).code_deploy_groups.get(control::group_key(call.scope, application, *name));
  if (!found) return error("DeploymentGroupDoesNotExistException", "No Deployment Group found for name: {}", *name);
  return *found;
}

Result<model::CodeDeployConfig> find_config(const Call& call, const std::string& name) {
  for (auto& config : control::deployment_configs(state(call), call.scope))
    if (config.name == name) return config;
  return error("DeploymentConfigDoesNotExistException", "No Deployment Configuration found for name: {}", name);
}

std::vector<model::CodeDeployGroup> groups_of(const Call& call, const std::string& application) {
  std::vector<model::CodeDeployGroup> out;
  state(call).code_deploy_groups.each(control::group_prefix(call.scope, application),
                                      [&](const auto&, const model::CodeDeployGroup& group) { out.push_back(group); });
  return out;
}

Result<void> check_name(const std::string& name, const std::string& kind) {
  if (name.empty()) return error(kind + "NameRequiredException", "The {} name is missing", to_lower(kind));
  auto good = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("+=,.@_-").find(c) != std::string_view::npos; };
  if (name.size() > 100 || !std::ranges::all_of(name, good))
    return error("Invalid" + kind + "NameException", "'{}' is not a valid name: 1 to 100 letters, digits and + = , . @ _ -", name);
  return {};
}

Result<std::vector<model::Tag>> tags_from_wire(const std::vector<Tag>& tags) {
  std::vector<model::Tag> out;
  std::set<std::string> seen;
  if (tags.size() > kMaxTags)
    return error("InvalidTagsToAddException", "A resource has at most {} tags; {} were given.", kMaxTags, tags.size());
  for (const auto& tag : tags) {
    auto key = tag.Key.value_or("");
    if (key.empty() || key.size() > 128 || key.starts_with("aws:") || !seen.insert(key).second)
      return error("InvalidTagsToAddException", "The tag key '{}' is empty, too long, reserved or repeated.", key);
    out.push_back({key, tag.Value.value_or("")});
  }
  return out;
}

Result<model::CodeDeployRevision> revision_from_wire(const Call& call, const std::string& application,
                                                     const std::optional<RevisionLocation>& location) {
  if (!location) return error("RevisionRequiredException", "Revision is required.");
  auto type = location->revisionType.value_or("");
  model::CodeDeployRevision out{.scope = call.scope, .application = application, .type = type};
  std::optional<std::string> content, sha256;
  if (type == "AppSpecContent" && location->appSpecContent) {
    content = location->appSpecContent->content;
    sha256 = location->appSpecContent->sha256;
  } else if (type == "String" && location->string) {
    content = location->string->content;
    sha256 = location->string->sha256;
  } else {
    return error("InvalidRevisionException",
                 "The revision has no content: give revisionType AppSpecContent with appSpecContent, or String with string.");
  }
  if (!content || content->empty()) {
    // GetApplicationRevision may name a revision by its digest alone.
    auto known = state(call).code_deploy_revisions.get(control::code_revision_key(call.scope, application, sha256.value_or("")));
    if (!known) return error("InvalidRevisionException", "The content of the AppSpec is missing.");
    return *known;
  }
  if (content->size() > 256 * 1024) return error("InvalidRevisionException", "The AppSpec has {} bytes; 262144 are the limit.", content->size());
  out.content = *content;
  out.sha256 = sha256_hex(out.content);
  if (sha256 && !sha256->empty() && to_lower(*sha256) != out.sha256)
    return error("InvalidRevisionException", "The SHA-256 of the AppSpec is {}, not {} as the request says.", out.sha256, *sha256);
  return out;
}

RevisionLocation to_wire(const model::CodeDeployRevision& revision) {
  RevisionLocation out{.revisionType = revision.type};
  if (revision.type == "String") out.string = RawString{.content = revision.content, .sha256 = revision.sha256};
  else out.appSpecContent = AppSpecContent{.content = revision.content, .sha256 = revision.sha256};
  return out;
}

Result<void> read_rollback(const AutoRollbackConfiguration& in, bool& enabled, std::vector<std::string>& events) {
  enabled = in.enabled.value_or(!in.events.empty());
  events = in.events;
  if (enabled && events.empty())
    return error("InvalidAutoRollbackConfigException", "autoRollbackConfiguration is enabled and names no events.");
  return {};
}

AutoRollbackConfiguration rollback_to_wire(bool enabled, const std::vector<std::string>& events) {
  return {.enabled = enabled, .events = events};
}

Result<model::DeploymentAlarms> alarms_from_wire(const AlarmConfiguration& in) {
  model::DeploymentAlarms out;
  for (const auto& alarm : in.alarms) {
    if (alarm.name.value_or("").empty()) return error("InvalidAlarmConfigException", "An alarm has no name.");
    out.names.push_back(*alarm.name);
  }
  if (out.names.size() > 10) return error("AlarmsLimitExceededException", "{} alarms were given; 10 are the limit.", out.names.size());
  out.enable = in.enabled.value_or(false);
  out.ignore_poll_failure = in.ignorePollAlarmFailure.value_or(false);
  if (out.enable && out.names.empty()) return error("InvalidAlarmConfigException", "The alarm configuration is enabled and names no alarms.");
  return out;
}

AlarmConfiguration to_wire(const model::DeploymentAlarms& in) {
  AlarmConfiguration out{.enabled = in.enable, .ignorePollAlarmFailure = in.ignore_poll_failure};
  for (const auto& name : in.names) out.alarms.push_back({.name = name});
  return out;
}

DeploymentStyle blue_green_style() { return {.deploymentType = "BLUE_GREEN", .deploymentOption = "WITH_TRAFFIC_CONTROL"}; }

// Both waits are always there: clients add them up.
BlueGreenDeploymentConfiguration waits_to_wire(bool ready_wait_stops, int ready_minutes, bool keep_blue, int termination_minutes) {
  return {.terminateBlueInstancesOnDeploymentSuccess =
              BlueInstanceTerminationOption{.action = keep_blue ? "KEEP_ALIVE" : "TERMINATE", .terminationWaitTimeInMinutes = termination_minutes},
          .deploymentReadyOption = DeploymentReadyOption{.actionOnTimeout = ready_wait_stops ? "STOP_DEPLOYMENT" : "CONTINUE_DEPLOYMENT",
                                                         .waitTimeInMinutes = ready_minutes}};
}

LoadBalancerInfo to_wire(const std::vector<model::TargetGroupPair>& pairs) {
  LoadBalancerInfo out;
  for (const auto& pair : pairs) {
    TargetGroupPairInfo info;
    for (const auto& name : pair.target_groups) info.targetGroups.push_back({.name = name});
    info.prodTrafficRoute = TrafficRoute{.listenerArns = pair.production_listeners};
    if (!pair.test_listeners.empty()) info.testTrafficRoute = TrafficRoute{.listenerArns = pair.test_listeners};
    out.targetGroupPairInfoList.push_back(std::move(info));
  }
  return out;
}

}  // namespace watari::aws::codedeploy
