#pragma once
// Between CodeDeploy's shapes and the domain, and the look-ups that every handler of the service needs.
#include <optional>
#include <string>
#include <vector>

#include "aws/call.h"
#include "aws/tags.h"
#include "aws/gen/codedeploy/shape/AlarmConfiguration.h"
#include "aws/gen/codedeploy/shape/AutoRollbackConfiguration.h"
#include "aws/gen/codedeploy/shape/BlueGreenDeploymentConfiguration.h"
#include "aws/gen/codedeploy/shape/DeploymentStyle.h"
#include "aws/gen/codedeploy/shape/LoadBalancerInfo.h"
#include "aws/gen/codedeploy/shape/RevisionLocation.h"
#include "aws/gen/codedeploy/shape/Tag.h"
#include "control/code_deploy.h"

namespace watari::aws::codedeploy {

inline control::State& state(const Call& call) { return call.platform.control->state(); }

std::string new_id();  // 8-4-4-4-12 hexadecimal digits

// ApplicationDoesNotExistException, DeploymentGroupDoesNotExistException, DeploymentConfigDoesNotExistException.
Result<model::CodeDeployApplication> find_application(const Call& call, const std::string& name);
Result<model::CodeDeployGroup> find_group(const Call& call, const std::string& application, const std::optional<std::string>& name);
Result<model::CodeDeployConfig> find_config(const Call& call, const std::string& name);
std::vector<model::CodeDeployGroup> groups_of(const Call& call, const std::string& application);

// "{kind}NameRequiredException", "Invalid{kind}NameException".
Result<void> check_name(const std::string& name, const std::string& kind);
// InvalidTagsToAddException.
Result<std::vector<model::Tag>> tags_from_wire(const std::vector<Tag>& tags);

// The AppSpec of a revision, with its sha256. InvalidRevisionException, RevisionRequiredException.
Result<model::CodeDeployRevision> revision_from_wire(const Call& call, const std::string& application,
                                                     const std::optional<RevisionLocation>& location);
RevisionLocation to_wire(const model::CodeDeployRevision& revision);

Result<void> read_rollback(const AutoRollbackConfiguration& in, bool& enabled, std::vector<std::string>& events);
AutoRollbackConfiguration rollback_to_wire(bool enabled, const std::vector<std::string>& events);
Result<model::DeploymentAlarms> alarms_from_wire(const AlarmConfiguration& in);
AlarmConfiguration to_wire(const model::DeploymentAlarms& in);

DeploymentStyle blue_green_style();
BlueGreenDeploymentConfiguration waits_to_wire(bool ready_wait_stops, int ready_minutes, bool keep_blue, int termination_minutes);
LoadBalancerInfo to_wire(const std::vector<model::TargetGroupPair>& pairs);

}  // namespace watari::aws::codedeploy
