#pragma once
// Rules as EC2 groups them: one IpPermission for all peers of the same protocol and ports.
#include <optional>
#include <string>
#include <vector>

#include "aws/call.h"
#include "aws/gen/ec2/shape/IpPermission.h"
#include "aws/gen/ec2/shape/SecurityGroupRule.h"
#include "control/state.h"

namespace watari::aws::ec2 {

std::vector<IpPermission> permissions_of(const std::string& account, const std::vector<model::SecurityRule>& rules);
SecurityGroupRule rule_to_wire(const Call& call, const model::SecurityGroup& group, const model::SecurityRule& rule, bool egress);

// One rule for each peer that a permission names. Group names are looked up in the VPC of `owner`.
Result<std::vector<model::SecurityRule>> rules_of(const Call& call, const control::State& state, const model::SecurityGroup& owner,
                                                  const std::vector<IpPermission>& permissions);

// By id, or by name in the default VPC. MissingParameter when neither is given, InvalidGroup.NotFound.
Result<model::SecurityGroup> find_group(const Call& call, const control::State& state, const std::optional<std::string>& id,
                                        const std::optional<std::string>& name);

}  // namespace watari::aws::ec2
