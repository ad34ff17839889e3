#include "control/network.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "base/id.h"
#include "model/cidr.h"

namespace watari::control {
namespace {

const model::Scope kScope{"123456789012", "us-east-1"};

class RegionNetwork : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("watari-test-" + random_hex(8));
    std::filesystem::create_directory(folder_);
    open();
    ASSERT_TRUE(ensure_default_network(*database_, *state_, kScope));
  }
  void TearDown() override {
    state_.reset();
    database_.reset();
    std::filesystem::remove_all(folder_);
  }
  void open() {
    state_.reset();
    database_.reset();
    database_ = *store::Database::open(folder_ / "watari.db");
    state_ = std::make_unique<State>(*database_);
    ASSERT_FALSE(database_->damage());
  }
  template <class Change>
  auto commit(Change&& change) -> decltype(change()) {
    store::Transaction transaction(*database_);
    auto result = change();
    if (result) EXPECT_TRUE(transaction.commit());
    return result;
  }
  Result<model::NetworkInterface> allocate(const std::string& subnet, const std::string& task) {
    return commit([&] { return allocate_address(*state_, kScope, subnet, task, {}, Time{}); });
  }
  model::Subnet small_subnet() {  // 11 usable addresses
    auto vpc = *commit([&] { return create_vpc(*state_, kScope, "10.9.0.0/16"); });
    return *commit([&] { return create_subnet(*state_, kScope, vpc.id, "10.9.0.0/28", ""); });
  }

  std::filesystem::path folder_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<State> state_;
};

TEST_F(RegionNetwork, BeginsWithADefaultVpcAsOnAws) {
  auto vpc = default_vpc(*state_, kScope);
  ASSERT_TRUE(vpc);
  EXPECT_EQ(vpc->cidr, "172.31.0.0/16");
  std::map<std::string, std::string> subnets;
  for (auto& [key, subnet] : state_->subnets.list(scope_prefix(kScope))) subnets[subnet.zone] = subnet.cidr;
  EXPECT_EQ(subnets, (std::map<std::string, std::string>{
                         {"us-east-1a", "172.31.0.0/20"}, {"us-east-1b", "172.31.16.0/20"}, {"us-east-1c", "172.31.32.0/20"}}));
  EXPECT_TRUE(default_security_group(*state_, kScope, vpc->id));
  open();  // what was made is durable, and made once
  ASSERT_TRUE(ensure_default_network(*database_, *state_, kScope));
  EXPECT_EQ(default_vpc(*state_, kScope)->id, vpc->id);
  EXPECT_EQ(state_->vpcs.size(), 1u);
}

TEST_F(RegionNetwork, GivesEachTaskAnAddressOfItsOwnAndKeepsReservedOnes) {
  auto subnet = small_subnet();
  std::set<std::string> addresses;
  for (int i = 0; i < 11; ++i) addresses.insert(allocate(subnet.id, "task-" + std::to_string(i))->address);
  EXPECT_EQ(addresses.size(), 11u);
  EXPECT_EQ(addresses.count("10.9.0.3") + addresses.count("10.9.0.15"), 0u);
  EXPECT_EQ(free_addresses(*state_, subnet), 0u);
  EXPECT_EQ(allocate(subnet.id, "task-3")->address, "10.9.0.7");  // again: the same
  auto none = allocate(subnet.id, "one-too-many");
  EXPECT_EQ(none.error().reason, "InsufficientFreeAddressesInSubnet");
}

TEST_F(RegionNetwork, LetsAReleasedAddressRestWhileOthersAreFree) {
  auto subnet = small_subnet();
  auto first = *allocate(subnet.id, "a");
  ASSERT_TRUE(commit([&]() -> Result<bool> {
    release_address(*state_, kScope, subnet.id, first.address);
    return true;
  }));
  open();
  for (int i = 0; i < 10; ++i) EXPECT_NE(allocate(subnet.id, "b" + std::to_string(i))->address, first.address);
  EXPECT_EQ(allocate(subnet.id, "last")->address, first.address);
}

TEST_F(RegionNetwork, FillsAndChecksAPlacement) {
  model::NetworkPlacement placement;
  auto vpc = complete_placement(*state_, kScope, placement);
  ASSERT_TRUE(vpc) << vpc.error().message;
  EXPECT_EQ(placement.subnets.size(), 3u);
  EXPECT_EQ(placement.security_groups.size(), 1u);
  auto other = small_subnet();
  placement.subnets.push_back(other.id);
  EXPECT_EQ(complete_placement(*state_, kScope, placement).error().code, Code::InvalidArgument);
  model::NetworkPlacement unknown{.subnets = {"subnet-0"}, .security_groups = {}};
  EXPECT_EQ(complete_placement(*state_, kScope, unknown).error().reason, "InvalidSubnetID.NotFound");
}

TEST_F(RegionNetwork, KeepsRulesUniqueAndGroupsWhileInUse) {
  auto vpc = *default_vpc(*state_, kScope);
  auto web = *commit([&] { return create_security_group(*state_, kScope, vpc.id, "web", "d"); });
  auto lb = *commit([&] { return create_security_group(*state_, kScope, vpc.id, "lb", "d"); });
  EXPECT_EQ(commit([&] { return create_security_group(*state_, kScope, vpc.id, "lb", "d"); }).error().reason, "InvalidGroup.Duplicate");
  model::SecurityRule rule{.id = {}, .protocol = "6", .from_port = 80, .to_port = 80, .cidr = {}, .group = lb.id, .description = {}, .tags = {}};
  auto add = [&](model::SecurityRule one) {
    return commit([&] { return authorize(*state_, kScope, web.id, Direction::Ingress, {one}); });
  };
  auto added = add(rule);
  ASSERT_TRUE(added) << added.error().message;
  EXPECT_EQ(added->front().protocol, "tcp");
  EXPECT_EQ(add(rule).error().reason, "InvalidPermission.Duplicate");
  EXPECT_EQ(commit([&] { return delete_security_group(*state_, kScope, lb.id); }).error().reason, "DependencyViolation");
  ASSERT_TRUE(commit([&] { return revoke(*state_, kScope, web.id, Direction::Ingress, {rule}); }));
  EXPECT_EQ(commit([&] { return revoke(*state_, kScope, web.id, Direction::Ingress, {rule}); }).error().reason, "InvalidPermission.NotFound");
  EXPECT_TRUE(commit([&] { return delete_security_group(*state_, kScope, lb.id); }));
  rule.group.clear();
  rule.cidr = "10.0.0.5/300";
  EXPECT_EQ(add(rule).error().reason, "InvalidParameterValue");
  rule.cidr = "10.0.0.5/8";
  EXPECT_EQ(add(rule)->front().cidr, "10.0.0.0/8");
  rule.from_port = 90;
  EXPECT_FALSE(add(rule));
}

TEST_F(RegionNetwork, SaysWhoIsAMemberOfWhichGroup) {
  auto vpc = *default_vpc(*state_, kScope);
  auto group = *default_security_group(*state_, kScope, vpc.id);
  auto web = *commit([&] { return create_security_group(*state_, kScope, vpc.id, "web", "d"); });
  auto subnet = state_->subnets.list(scope_prefix(kScope)).front().second;
  auto one = *commit([&] { return allocate_address(*state_, kScope, subnet.id, "t", {web.id}, Time{}); });
  EXPECT_EQ(security_of(*state_, vpc).groups_of_address.count("172.31.0.1"), 0u);
  ASSERT_TRUE(commit([&]() -> Result<bool> {
    model::LoadBalancer balancer;
    balancer.scope = kScope;
    balancer.vpc = vpc.id;
    state_->load_balancers.put("arn:a", balancer);
    balancer.security_groups = {web.id};
    state_->load_balancers.put("arn:b", balancer);
    return true;
  }));
  auto security = security_of(*state_, vpc);
  EXPECT_EQ(security.groups.size(), 2u);
  EXPECT_EQ(security.groups_of_address[one.address], std::vector{web.id});
  auto node = security.groups_of_address["172.31.0.1"];
  EXPECT_EQ(std::set(node.begin(), node.end()), (std::set{group.id, web.id}));
}

}  // namespace
}  // namespace watari::control
