#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "base/id.h"
#include "sys/netlink.h"
#include "sys/netns.h"
#include "sys/nftables.h"

namespace watari::sys {

#define SKIP_UNLESS_ROOT() \
  if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: network namespaces need root"

// Removes its namespaces whatever happens.
class Netns : public ::testing::Test {
 protected:
  void SetUp() override { SKIP_UNLESS_ROOT(); }
  void TearDown() override {
    for (const auto& name : *list_netns(prefix_)) EXPECT_TRUE(remove_netns(name));
  }
  std::string name(const std::string& end) const { return prefix_ + end; }
  std::string prefix_ = "watari-test-" + random_hex(8) + "-";
};

ino_t namespace_inode(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

TEST_F(Netns, IsMadeOnceAndRemovedOnce) {
  auto made = create_netns(name("a"));
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(*made);
  EXPECT_FALSE(*create_netns(name("a")));
  EXPECT_NE(namespace_inode(netns_path(name("a"))), namespace_inode("/proc/self/ns/net"));
  EXPECT_TRUE(remove_netns(name("a")));
  EXPECT_TRUE(remove_netns(name("a")));
  EXPECT_EQ(open_netns(name("a")).error().code, Code::NotFound);
}

TEST_F(Netns, HealsTheEmptyFileOfACreationThatWasCutShort) {
  ASSERT_TRUE(create_netns(name("other")));  // makes the directory
  std::ofstream(netns_path(name("half"))).close();
  EXPECT_EQ(open_netns(name("half")).error().code, Code::NotFound);
  EXPECT_TRUE(*create_netns(name("half")));
  EXPECT_TRUE(open_netns(name("half")));
}

TEST_F(Netns, LeavesTheCallingThreadWhereItWas) {
  ASSERT_TRUE(create_netns(name("a")));
  auto before = namespace_inode("/proc/thread-self/ns/net");
  ino_t inside = 0;
  auto fd = open_netns(name("a"));
  ASSERT_TRUE(run_in_netns(*fd, [&]() -> Result<void> {
    inside = namespace_inode("/proc/thread-self/ns/net");
    return write_sysctl("net/ipv4/ip_forward", "1");
  }));
  EXPECT_EQ(inside, namespace_inode(netns_path(name("a"))));
  EXPECT_EQ(namespace_inode("/proc/thread-self/ns/net"), before);
}

TEST_F(Netns, CarriesALinkPairWithAddressesAndRoutes) {
  ASSERT_TRUE(create_netns(name("a")));
  ASSERT_TRUE(create_netns(name("b")));
  auto a = open_netns(name("a")), b = open_netns(name("b"));
  auto work = run_in_netns(*a, [&]() -> Result<void> {
    TRY(auto netlink, Netlink::open());
    VethPair pair{.name = "eth0", .mac = "02:00:00:00:00:01", .peer_name = "peer", .peer_mac = "02:00:00:00:00:02"};
    TRY_VOID(netlink.add_veth(pair, *b));
    EXPECT_EQ(netlink.add_veth(pair, *b).error().code, Code::AlreadyExists);
    for (int round = 0; round < 2; ++round) {  // again is as good as once
      TRY_VOID(netlink.set_up("lo"));
      TRY_VOID(netlink.set_alias("eth0", "a note"));
      EXPECT_EQ(*netlink.alias_of("eth0"), "a note");
      TRY_VOID(netlink.add_address("eth0", "10.1.2.3/32"));
      TRY_VOID(netlink.add_route({.destination = "default", .gateway = "169.254.1.1", .gateway_on_link = true, .link = "eth0"}));
      TRY_VOID(netlink.add_neighbour("eth0", "169.254.1.1", "02:00:00:00:00:02"));
    }
    TRY(auto addresses, netlink.addresses("eth0"));
    EXPECT_EQ(addresses, std::vector<std::string>{"10.1.2.3"});
    return {};
  });
  ASSERT_TRUE(work) << work.error().message;
  work = run_in_netns(*b, [&]() -> Result<void> {
    TRY(auto netlink, Netlink::open());
    EXPECT_TRUE(*netlink.has_link("peer"));
    TRY_VOID(netlink.set_up("peer"));
    TRY_VOID(netlink.add_route({.destination = "10.1.2.3/32", .link = "peer"}));
    TRY_VOID(netlink.delete_route("10.1.2.3/32"));
    TRY_VOID(netlink.delete_route("10.1.2.3/32"));
    TRY_VOID(netlink.delete_link("peer"));
    TRY_VOID(netlink.delete_link("peer"));
    EXPECT_FALSE(*netlink.has_link("peer"));
    return {};
  });
  ASSERT_TRUE(work) << work.error().message;
}

TEST_F(Netns, ChangesTheFirewallAsOneTransaction) {
  ASSERT_TRUE(create_netns(name("a")));
  auto a = open_netns(name("a"));
  auto work = run_in_netns(*a, [&]() -> Result<void> {
    TRY_VOID(run_nft("table inet t { set s { type ipv4_addr; elements = { 10.0.0.1 }; }; }"));
    auto bad = run_nft("delete table inet t\ntable inet t { chain c { jump nowhere; }; }");
    EXPECT_FALSE(bad);
    TRY(auto text, list_nft("table inet t"));
    EXPECT_NE(text.find("10.0.0.1"), std::string::npos);
    return {};
  });
  ASSERT_TRUE(work) << work.error().message;
}

TEST_F(Netns, ChangesTheFirewallHoweverManyDescriptorsAreOpen) {
  ASSERT_TRUE(create_netns(name("a")));
  auto a = open_netns(name("a"));
  rlimit before{}, many{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  many = {std::min<rlim_t>(before.rlim_max, 2048), before.rlim_max};
  if (many.rlim_cur < 1100) GTEST_SKIP() << "SKIPPED: may not open 1,100 files";
  ::setrlimit(RLIMIT_NOFILE, &many);
  std::vector<Fd> open;
  for (int i = 0; i < 1100; ++i) open.emplace_back(::dup(a->get()));
  EXPECT_GT(open.back().get(), 1023);
  auto work = run_in_netns(*a, []() -> Result<void> {
    TRY_VOID(run_nft("table inet t { set s { type ipv4_addr; }; }"));
    TRY(auto text, list_nft("table inet t"));
    EXPECT_NE(text.find("set s"), std::string::npos);
    return {};
  });
  open.clear();
  ::setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_TRUE(work) << work.error().message;
}

}  // namespace watari::sys
