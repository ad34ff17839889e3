#pragma once
// Commands on a region's private network: the default VPC, addresses and interfaces of tasks, security groups.
// Plain functions on the state's tables; the writing ones run inside control.commit(...) and leave nothing behind on error.
// Errors carry AWS's name in `reason`. Thread: the control loop.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/state.h"

namespace watari::control {

// --- what there is ---------------------------------------------------------------------------------------------------------

// A region begins with a default VPC (172.31.0.0/16), a default /20 subnet in each of its zones a, b, c, and a default security
// group, made here when the region is used for the first time (one transaction; nested in the caller's when it has one).
// Every function below expects it to have been called for the scope.
Result<void> ensure_default_network(store::Database& database, State& state, const model::Scope& scope);
std::vector<std::string> zones_of(const std::string& region);  // us-east-1a, us-east-1b, us-east-1c

// NotFound: InvalidVpcID.NotFound, InvalidSubnetID.NotFound, InvalidGroup.NotFound.
Result<model::Vpc> find_vpc(const State& state, const model::Scope& scope, const std::string& vpc);
Result<model::Subnet> find_subnet(const State& state, const model::Scope& scope, const std::string& subnet);
Result<model::SecurityGroup> find_security_group(const State& state, const model::Scope& scope, const std::string& group);
std::optional<model::Vpc> default_vpc(const State& state, const model::Scope& scope);
Result<model::SecurityGroup> default_security_group(const State& state, const model::Scope& scope, const std::string& vpc);

// Checks a task's placement (subnets and groups exist and lie in one VPC) and fills what was left out: no groups is the VPC's
// default group; no subnets, the default subnets. Returns the VPC. InvalidArgument and NotFound say which id is wrong.
Result<model::Vpc> complete_placement(const State& state, const model::Scope& scope, model::NetworkPlacement& placement);

// --- VPCs and subnets --------------------------------------------------------------------------------------------------------

// With its default security group. InvalidVpc.Range unless the range is a /16 to /28.
Result<model::Vpc> create_vpc(State& state, const model::Scope& scope, const std::string& cidr);
// With its default security group. DependencyViolation while it has subnets, other groups or load balancers.
Result<void> delete_vpc(State& state, const model::Scope& scope, const std::string& vpc);
// `zone` may be empty: the region's first. InvalidSubnet.Range, InvalidSubnet.Conflict, InvalidParameterValue (the zone).
Result<model::Subnet> create_subnet(State& state, const model::Scope& scope, const std::string& vpc, const std::string& cidr,
                                    const std::string& zone);
// DependencyViolation while an interface or a load balancer is in it.
Result<void> delete_subnet(State& state, const model::Scope& scope, const std::string& subnet);

// --- addresses -------------------------------------------------------------------------------------------------------------

// Takes a free address of the subnet for `task` and makes its network interface; the same again when the task has one there.
// An address that was released is given out again only after all others. The first four and the last are reserved, as on AWS.
// ResourceExhausted (InsufficientFreeAddressesInSubnet) when none is free.
Result<model::NetworkInterface> allocate_address(State& state, const model::Scope& scope, const std::string& subnet,
                                                 const std::string& task, const std::vector<std::string>& groups, Time now);
// Gives the address back and removes the interface; fine when it is free.
void release_address(State& state, const model::Scope& scope, const std::string& subnet, const std::string& address);
std::uint64_t free_addresses(const State& state, const model::Subnet& subnet);

// --- what engine::Engine::set_security() is told ----------------------------------------------------------------------------

struct VpcSecurity {
  std::vector<model::SecurityGroup> groups;
  std::map<std::string, std::vector<std::string>> groups_of_address;
};
// Groups of the VPC and their members: the interfaces, and the node address (first of the range + 1), from which all load
// balancers of the VPC connect, with the groups of each of them (docs/network.md).
VpcSecurity security_of(const State& state, const model::Vpc& vpc);

// --- security groups -------------------------------------------------------------------------------------------------------

// InvalidGroup.Duplicate when the VPC has a group of that name. The new group lets everything out and nothing in.
Result<model::SecurityGroup> create_security_group(State& state, const model::Scope& scope, const std::string& vpc,
                                                   const std::string& name, const std::string& description);
// DependencyViolation while an interface, a load balancer or a rule of another group refers to it; CannotDelete for the default.
Result<void> delete_security_group(State& state, const model::Scope& scope, const std::string& group);

enum class Direction { Ingress, Egress };
// Adds rules (ids are given here) and returns them. InvalidPermission.Duplicate when one is there already, InvalidGroup.NotFound
// for an unknown peer, InvalidParameterValue for ports or ranges that are none.
Result<std::vector<model::SecurityRule>> authorize(State& state, const model::Scope& scope, const std::string& group,
                                                   Direction direction, std::vector<model::SecurityRule> rules);
// Removes the rules that equal the given ones, or have their ids, and returns them. InvalidPermission.NotFound (by id:
// InvalidSecurityGroupRuleId.NotFound) when one is not there.
Result<std::vector<model::SecurityRule>> revoke(State& state, const model::Scope& scope, const std::string& group, Direction direction,
                                          const std::vector<model::SecurityRule>& rules);

}  // namespace watari::control
