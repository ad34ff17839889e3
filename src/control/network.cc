#include "control/network.h"

#include <algorithm>
#include <set>

#include "base/id.h"
#include "model/cidr.h"

namespace watari::control {

namespace {

using model::Scope;

template <class... Args>
auto fail_as(Code code, const char* reason, fmt::format_string<Args...> format, Args&&... args) {
  return fail(Error{code, fmt::format(format, std::forward<Args>(args)...), reason});
}

// AWS reserves the network address, the router, the name server, one for later, and the broadcast address.
constexpr std::int64_t kFirstOffset = 4;
std::int64_t last_offset(const model::Cidr& cidr) { return static_cast<std::int64_t>(cidr.size()) - 2; }

std::string interface_key(const Scope& scope, const std::string& subnet, const std::string& address) {
  return network_key(scope, subnet + "/" + address);
}

model::SecurityGroup make_default_group(const model::Vpc& vpc) {
  model::SecurityGroup group{.scope = vpc.scope, .id = "sg-" + random_hex(17), .vpc = vpc.id, .name = "default",
                             .description = "default VPC security group", .ingress = {}, .egress = {}, .tags = {}};
  model::SecurityRule members, outside;
  members.id = "sgr-" + random_hex(17);
  members.group = group.id;
  outside.id = "sgr-" + random_hex(17);
  outside.cidr = "0.0.0.0/0";
  group.ingress = {members};
  group.egress = {outside};
  return group;
}

model::Vpc put_vpc(State& state, const Scope& scope, const std::string& cidr, bool is_default) {
  model::Vpc vpc{.scope = scope, .id = "vpc-" + random_hex(17), .cidr = cidr, .is_default = is_default, .dns_support = true,
                 .dns_hostnames = is_default, .tags = {}};
  state.vpcs.put(network_key(scope, vpc.id), vpc);
  auto group = make_default_group(vpc);
  state.security_groups.put(network_key(scope, group.id), group);
  return vpc;
}

model::Subnet put_subnet(State& state, const model::Vpc& vpc, const std::string& cidr, const std::string& zone, bool is_default) {
  model::Subnet subnet{.scope = vpc.scope, .id = "subnet-" + random_hex(17), .vpc = vpc.id, .cidr = cidr, .zone = zone,
                       .is_default = is_default, .map_public_ip = is_default, .next_offset = kFirstOffset, .tags = {}};
  state.subnets.put(network_key(vpc.scope, subnet.id), subnet);
  return subnet;
}

// Is there a document of the scope that `wanted` accepts?
template <class T, class Wanted>
bool any(const store::Table<T>& table, const std::string& prefix, Wanted&& wanted) {
  bool found = false;
  table.each(prefix, [&](const std::string&, const T& value) { found = found || wanted(value); });
  return found;
}

template <class T>
Result<T> find_in(const store::Table<T>& table, const Scope& scope, const std::string& id, const char* reason, const char* what) {
  if (auto found = table.find(network_key(scope, id))) return *found;
  return fail_as(Code::NotFound, reason, "The {} '{}' does not exist", what, id);
}

}  // namespace

std::vector<std::string> zones_of(const std::string& region) { return {region + "a", region + "b", region + "c"}; }

Result<void> ensure_default_network(store::Database& database, State& state, const Scope& scope) {
  auto region = state.regions.get(scope.key()).value_or(Region{});
  if (region.default_network_made) return {};
  store::Transaction transaction(database);
  auto vpc = put_vpc(state, scope, "172.31.0.0/16", true);
  std::uint32_t base = model::parse_cidr(vpc.cidr)->base;
  for (const auto& zone : zones_of(scope.region)) {
    put_subnet(state, vpc, model::Cidr{base, 20}.text(), zone, true);
    base += 1u << 12;
  }
  region.default_network_made = true;
  state.regions.put(scope.key(), region);
  return transaction.commit();
}

Result<model::Vpc> find_vpc(const State& state, const Scope& scope, const std::string& vpc) {
  return find_in(state.vpcs, scope, vpc, "InvalidVpcID.NotFound", "vpc ID");
}
Result<model::Subnet> find_subnet(const State& state, const Scope& scope, const std::string& subnet) {
  return find_in(state.subnets, scope, subnet, "InvalidSubnetID.NotFound", "subnet ID");
}
Result<model::SecurityGroup> find_security_group(const State& state, const Scope& scope, const std::string& group) {
  return find_in(state.security_groups, scope, group, "InvalidGroup.NotFound", "security group");
}

std::optional<model::Vpc> default_vpc(const State& state, const Scope& scope) {
  std::optional<model::Vpc> found;
  state.vpcs.each(scope_prefix(scope), [&](const std::string&, const model::Vpc& vpc) {
    if (vpc.is_default) found = vpc;
  });
  return found;
}

Result<model::SecurityGroup> default_security_group(const State& state, const Scope& scope, const std::string& vpc) {
  std::optional<model::SecurityGroup> found;
  state.security_groups.each(scope_prefix(scope), [&](const std::string&, const model::SecurityGroup& group) {
    if (group.vpc == vpc && group.name == "default") found = group;
  });
  if (!found) return fail_as(Code::NotFound, "InvalidVpcID.NotFound", "The vpc ID '{}' does not exist", vpc);
  return *found;
}

Result<model::Vpc> complete_placement(const State& state, const Scope& scope, model::NetworkPlacement& placement) {
  if (placement.subnets.empty()) {
    auto vpc = default_vpc(state, scope);
    if (!vpc) return fail_as(Code::NotFound, "VPCIdNotSpecified", "No default VPC for this user; name the subnets");
    state.subnets.each(scope_prefix(scope), [&](const std::string&, const model::Subnet& subnet) {
      if (subnet.vpc == vpc->id && subnet.is_default) placement.subnets.push_back(subnet.id);
    });
    if (placement.subnets.empty()) return fail_as(Code::NotFound, "InvalidSubnetID.NotFound", "VPC {} has no default subnet; name the subnets", vpc->id);
  }
  std::string vpc_id;
  for (const auto& id : placement.subnets) {
    TRY(auto subnet, find_subnet(state, scope, id));
    if (vpc_id.empty()) vpc_id = subnet.vpc;
    if (subnet.vpc != vpc_id)
      return fail(Code::InvalidArgument, "subnets {} and {} are in different VPCs", placement.subnets.front(), id);
  }
  for (const auto& id : placement.security_groups) {
    TRY(auto group, find_security_group(state, scope, id));
    if (group.vpc != vpc_id)
      return fail(Code::InvalidArgument, "security group {} is in VPC {}, subnet {} in VPC {}", id, group.vpc,
                  placement.subnets.front(), vpc_id);
  }
  if (placement.security_groups.empty()) {
    TRY(auto group, default_security_group(state, scope, vpc_id));
    placement.security_groups = {group.id};
  }
  return find_vpc(state, scope, vpc_id);
}

Result<model::Vpc> create_vpc(State& state, const Scope& scope, const std::string& text) {
  auto cidr = model::parse_cidr(text);
  if (!cidr) return fail_as(Code::InvalidArgument, "InvalidParameterValue", "Value ({}) for parameter cidrBlock is invalid. This is not a valid CIDR block.", text);
  if (cidr->length < 16 || cidr->length > 28)
    return fail_as(Code::InvalidArgument, "InvalidVpc.Range", "The CIDR '{}' is invalid. The block size must be between /16 and /28.", text);
  return put_vpc(state, scope, cidr->text(), false);
}

Result<void> delete_vpc(State& state, const Scope& scope, const std::string& id) {
  TRY(auto vpc, find_vpc(state, scope, id));
  auto inside = [&](const auto& thing) { return thing.vpc == id; };
  auto prefix = scope_prefix(scope);
  bool used = any(state.subnets, prefix, inside) || any(state.load_balancers, "", [&](const auto& balancer) { return balancer.scope == scope && inside(balancer); }) ||
              any(state.security_groups, prefix, [&](const auto& group) { return inside(group) && group.name != "default"; });
  if (used) return fail_as(Code::FailedPrecondition, "DependencyViolation", "The vpc '{}' has dependencies and cannot be deleted.", id);
  TRY(auto group, default_security_group(state, scope, id));
  state.security_groups.erase(network_key(scope, group.id));
  state.vpcs.erase(network_key(scope, id));
  return {};
}

Result<model::Subnet> create_subnet(State& state, const Scope& scope, const std::string& vpc_id, const std::string& text,
                                    const std::string& wanted_zone) {
  TRY(auto vpc, find_vpc(state, scope, vpc_id));
  auto zones = zones_of(scope.region);
  auto zone = wanted_zone.empty() ? zones.front() : wanted_zone;
  if (std::ranges::count(zones, zone) == 0)
    return fail_as(Code::InvalidArgument, "InvalidParameterValue",
                   "Value ({}) for parameter availabilityZone is invalid. Subnets can currently only be created in the following "
                   "availability zones: {}, {}, {}.", zone, zones[0], zones[1], zones[2]);
  auto cidr = model::parse_cidr(text);
  if (!cidr) return fail_as(Code::InvalidArgument, "InvalidParameterValue", "Value ({}) for parameter cidrBlock is invalid. This is not a valid CIDR block.", text);
  auto range = *model::parse_cidr(vpc.cidr);
  if (cidr->length < 16 || cidr->length > 28 || !range.contains(*cidr))
    return fail_as(Code::InvalidArgument, "InvalidSubnet.Range", "The CIDR '{}' is invalid.", text);
  bool taken = any(state.subnets, scope_prefix(scope), [&](const model::Subnet& other) {
    return other.vpc == vpc_id && model::parse_cidr(other.cidr)->overlaps(*cidr);
  });
  if (taken) return fail_as(Code::Conflict, "InvalidSubnet.Conflict", "The CIDR '{}' conflicts with another subnet", text);
  return put_subnet(state, vpc, cidr->text(), zone, false);
}

Result<void> delete_subnet(State& state, const Scope& scope, const std::string& id) {
  TRY_VOID(find_subnet(state, scope, id));
  bool used = any(state.network_interfaces, network_key(scope, id + "/"), [](const auto&) { return true; }) ||
              any(state.load_balancers, "", [&](const auto& balancer) {
                return balancer.scope == scope && std::ranges::count(balancer.subnets, id) > 0;
              });
  if (used) return fail_as(Code::FailedPrecondition, "DependencyViolation", "The subnet '{}' has dependencies and cannot be deleted.", id);
  state.subnets.erase(network_key(scope, id));
  return {};
}

Result<model::NetworkInterface> allocate_address(State& state, const Scope& scope, const std::string& subnet_id,
                                                 const std::string& task, const std::vector<std::string>& groups, Time now) {
  TRY(auto subnet, find_subnet(state, scope, subnet_id));
  std::optional<model::NetworkInterface> present;
  state.network_interfaces.each(network_key(scope, subnet_id + "/"), [&](const std::string&, const model::NetworkInterface& one) {
    if (one.task == task) present = one;
  });
  if (present) return *present;

  TRY(auto cidr, model::parse_cidr(subnet.cidr));
  std::int64_t usable = last_offset(cidr) - kFirstOffset + 1;
  for (std::int64_t i = 0; i < usable; ++i) {
    auto offset = kFirstOffset + (subnet.next_offset - kFirstOffset + i) % usable;
    auto number = cidr.base + static_cast<std::uint32_t>(offset);
    auto address = model::ipv4_text(number);
    auto key = interface_key(scope, subnet_id, address);
    if (state.network_interfaces.has(key)) continue;
    model::NetworkInterface made{.scope = scope, .id = "eni-" + random_hex(17), .vpc = subnet.vpc, .subnet = subnet_id,
                                 .zone = subnet.zone, .address = address,
                                 .mac = fmt::format("0a:58:{:02x}:{:02x}:{:02x}:{:02x}", number >> 24, (number >> 16) & 255,
                                                    (number >> 8) & 255, number & 255),
                                 .task = task, .groups = groups, .created_at = now, .tags = {}};
    state.network_interfaces.put(key, made);
    subnet.next_offset = kFirstOffset + (offset - kFirstOffset + 1) % usable;
    state.subnets.put(network_key(scope, subnet_id), subnet);
    return made;
  }
  return fail_as(Code::ResourceExhausted, "InsufficientFreeAddressesInSubnet",
                 "Subnet {} ({}) has no free address: {} tasks have one", subnet_id, subnet.cidr, usable);
}

void release_address(State& state, const Scope& scope, const std::string& subnet, const std::string& address) {
  state.network_interfaces.erase(interface_key(scope, subnet, address));
}

std::uint64_t free_addresses(const State& state, const model::Subnet& subnet) {
  auto cidr = model::parse_cidr(subnet.cidr);
  if (!cidr) return 0;
  std::uint64_t used = 0;
  state.network_interfaces.each(network_key(subnet.scope, subnet.id + "/"), [&](const std::string&, const auto&) { ++used; });
  return cidr->size() - 5 - used;
}

VpcSecurity security_of(const State& state, const model::Vpc& vpc) {
  VpcSecurity security;
  auto prefix = scope_prefix(vpc.scope);
  std::string default_group;
  state.security_groups.each(prefix, [&](const std::string&, const model::SecurityGroup& group) {
    if (group.vpc != vpc.id) return;
    security.groups.push_back(group);
    if (group.name == "default") default_group = group.id;
  });
  state.network_interfaces.each(prefix, [&](const std::string&, const model::NetworkInterface& one) {
    if (one.vpc == vpc.id) security.groups_of_address[one.address] = one.groups;
  });
  std::set<std::string> balancers;
  state.load_balancers.each("", [&](const std::string&, const model::LoadBalancer& balancer) {
    if (balancer.scope != vpc.scope || balancer.vpc != vpc.id) return;
    if (balancer.security_groups.empty() && !default_group.empty()) balancers.insert(default_group);
    balancers.insert(balancer.security_groups.begin(), balancer.security_groups.end());
  });
  if (auto cidr = model::parse_cidr(vpc.cidr); cidr && !balancers.empty())
    security.groups_of_address[model::ipv4_text(cidr->base + 1)] = {balancers.begin(), balancers.end()};
  return security;
}

}  // namespace watari::control
