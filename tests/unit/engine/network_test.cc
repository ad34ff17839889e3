// Real namespaces, links and firewall rules; needs root, no outside traffic.
#include "engine/local/network.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "base/id.h"
#include "sys/fd.h"
#include "sys/netlink.h"
#include "sys/netns.h"
#include "sys/nftables.h"

namespace watari::engine {
namespace {

using model::SecurityGroup;
using model::SecurityRule;

constexpr const char* kCidr = "10.77.0.0/16";
constexpr const char* kVpc = "vpc-0123456789abcdef0";

sockaddr_in socket_address(const std::string& address, int port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, address.c_str(), &out.sin_addr);
  return out;
}

std::string task_id(int n) { return fmt::format("{:032x}", n); }
std::string address_of(int n) { return fmt::format("10.77.{}.{}", 1 + n / 250, 4 + n % 250); }

SecurityGroup group(std::string id, std::vector<SecurityRule> ingress) {
  SecurityGroup out;
  out.id = std::move(id);
  out.ingress = std::move(ingress);
  SecurityRule all;
  all.cidr = "0.0.0.0/0";
  out.egress = {all};
  return out;
}
SecurityRule tcp(int from, int to, std::string cidr, std::string of_group = "") {
  SecurityRule rule;
  rule.protocol = "tcp";
  rule.from_port = from;
  rule.to_port = to;
  rule.cidr = std::move(cidr);
  rule.group = std::move(of_group);
  return rule;
}

class PrivateNetwork : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: private networks need root";
  }
  void TearDown() override {
    if (::geteuid() != 0) return;
    auto removed = network_.remove_all();
    EXPECT_TRUE(removed) << removed.error().message;
    EXPECT_TRUE(sys::list_netns("watari-" + root_id_)->empty());
  }

  void attach(int n, bool outside = false) {
    auto path = network_.attach(task_id(n), {.vpc = kVpc, .vpc_cidr = kCidr, .address = address_of(n), .mac = {}, .outside = outside});
    ASSERT_TRUE(path) << path.error().message;
  }
  void secure(const std::vector<SecurityGroup>& groups, const std::map<std::string, std::vector<std::string>>& members) {
    auto set = network_.set_security(kVpc, groups, members);
    ASSERT_TRUE(set) << set.error().message;
  }
  std::string task_netns(int n) const { return "watari-" + root_id_ + "-t-" + task_id(n); }
  std::string vpc_netns() const { return network_.vpc_namespace_name(kVpc); }

  static sys::Fd open_socket(const std::string& netns, int type) {
    auto fd = sys::open_netns(netns);
    EXPECT_TRUE(fd) << fd.error().message;
    sys::Fd socket;
    EXPECT_TRUE(sys::run_in_netns(*fd, [&]() -> Result<void> {
      socket.reset(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      return {};
    }));
    return socket;
  }
  sys::Fd listen(int n, int port) {
    auto socket = open_socket(task_netns(n), SOCK_STREAM);
    auto address = socket_address("0.0.0.0", port);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(socket.get(), 64), 0);
    return socket;
  }
  // 0, or errno; ETIMEDOUT is what a dropped packet looks like.
  static int connect(const std::string& netns, const std::string& to, int port, sys::Fd* keep = nullptr) {
    auto socket = open_socket(netns, SOCK_STREAM);
    auto address = socket_address(to, port);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) return errno;
    pollfd wait{.fd = socket.get(), .events = POLLOUT, .revents = 0};
    if (::poll(&wait, 1, 150) == 0) return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (keep) *keep = std::move(socket);
    return error;
  }
  int connect(int from, int to, int port) { return connect(task_netns(from), address_of(to), port); }

  std::string root_id_ = random_hex(8);
  Network network_{root_id_};
};

TEST_F(PrivateNetwork, DropsEverythingUntilGroupsAreKnown) {
  attach(1);
  attach(2);
  auto server = listen(2, 80);
  EXPECT_EQ(connect(1, 2, 80), ETIMEDOUT);
  EXPECT_EQ(connect(vpc_netns(), address_of(2), 80), ETIMEDOUT);
}

TEST_F(PrivateNetwork, AnswersThePortMatrixThatTheGroupsSay) {
  // sg-web takes 80 from anywhere, sg-app takes 8080 from members of sg-web, sg-db takes 5432 from one range.
  std::vector groups{group("sg-web", {tcp(80, 80, "0.0.0.0/0")}), group("sg-app", {tcp(8000, 8080, "", "sg-web")}),
                     group("sg-db", {tcp(5432, 5432, address_of(2) + "/32")})};
  std::vector<sys::Fd> servers;
  for (int task : {1, 2, 3}) {
    attach(task);
    for (int port : {80, 8080, 5432}) servers.push_back(listen(task, port));
  }
  secure(groups, {{address_of(1), {"sg-web"}}, {address_of(2), {"sg-app"}}, {address_of(3), {"sg-db"}}});
  auto allowed = [](int from, int to, int port) {
    return (to == 1 && port == 80) || (from == 1 && to == 2 && port == 8080) || (from == 2 && to == 3 && port == 5432);
  };
  for (int from : {1, 2, 3})
    for (int to : {1, 2, 3})
      for (int port : {80, 8080, 5432})
        if (from != to)
          EXPECT_EQ(connect(from, to, port), allowed(from, to, port) ? 0 : ETIMEDOUT) << from << " to " << to << ":" << port;
}

TEST_F(PrivateNetwork, NeedsTheEgressOfTheSourceToo) {
  attach(1);
  attach(2);
  auto closed = group("sg-closed", {});
  closed.egress.clear();
  auto server = listen(2, 80);
  secure({closed, group("sg-open", {tcp(0, 65535, "0.0.0.0/0")})}, {{address_of(1), {"sg-closed"}}, {address_of(2), {"sg-open"}}});
  EXPECT_EQ(connect(1, 2, 80), ETIMEDOUT);
  closed.egress = {tcp(80, 80, "", "sg-open")};
  secure({closed, group("sg-open", {tcp(0, 65535, "0.0.0.0/0")})}, {{address_of(1), {"sg-closed"}}, {address_of(2), {"sg-open"}}});
  EXPECT_EQ(connect(1, 2, 80), 0);
}

TEST_F(PrivateNetwork, LetsTheNodeAddressInWhenItsGroupMay) {
  attach(1);
  auto server = listen(1, 80);
  auto node = *Network::node_address(kCidr);
  EXPECT_EQ(node, "10.77.0.1");
  std::vector groups{group("sg-lb", {}), group("sg-web", {tcp(80, 80, "", "sg-lb")})};
  secure(groups, {{address_of(1), {"sg-web"}}});
  EXPECT_EQ(connect(vpc_netns(), address_of(1), 80), ETIMEDOUT);
  secure(groups, {{address_of(1), {"sg-web"}}, {node, {"sg-lb"}}});
  EXPECT_EQ(connect(vpc_netns(), address_of(1), 80), 0);
}

TEST_F(PrivateNetwork, ChangesRulesWhileConnectionsGoOn) {
  attach(1);
  attach(2);
  auto server = listen(2, 80);
  std::map<std::string, std::vector<std::string>> members{{address_of(1), {"sg-a"}}, {address_of(2), {"sg-a"}}};
  secure({group("sg-a", {tcp(80, 80, "0.0.0.0/0")})}, members);
  sys::Fd connection;
  ASSERT_EQ(connect(task_netns(1), address_of(2), 80, &connection), 0);
  sys::Fd accepted(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
  secure({group("sg-a", {})}, members);
  EXPECT_EQ(connect(1, 2, 80), ETIMEDOUT);
  ASSERT_EQ(::write(connection.get(), "still", 5), 5);
  pollfd wait{.fd = accepted.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&wait, 1, 1000), 1);
}

TEST_F(PrivateNetwork, DropsASpoofedSource) {
  for (int task : {1, 2, 3}) attach(task);
  SecurityRule all;
  all.cidr = "0.0.0.0/0";
  secure({group("sg-a", {all})}, {{address_of(1), {"sg-a"}}, {address_of(2), {"sg-a"}}, {address_of(3), {"sg-a"}}});
  auto receiver = open_socket(task_netns(2), SOCK_DGRAM);
  auto port = socket_address("0.0.0.0", 9000);
  ASSERT_EQ(::bind(receiver.get(), reinterpret_cast<sockaddr*>(&port), sizeof port), 0);
  auto send = [&](const std::string& source) {
    auto netns = sys::open_netns(task_netns(1));
    EXPECT_TRUE(sys::run_in_netns(*netns, [&]() -> Result<void> {
      TRY(auto netlink, sys::Netlink::open());
      return netlink.add_address("lo", source + "/32");
    }));
    auto sender = open_socket(task_netns(1), SOCK_DGRAM);
    auto from = socket_address(source, 0), to = socket_address(address_of(2), 9000);
    EXPECT_EQ(::bind(sender.get(), reinterpret_cast<sockaddr*>(&from), sizeof from), 0);
    EXPECT_EQ(::sendto(sender.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 1);
    pollfd wait{.fd = receiver.get(), .events = POLLIN, .revents = 0};
    return ::poll(&wait, 1, 150) == 1;
  };
  EXPECT_FALSE(send(address_of(3)));
  EXPECT_FALSE(send("10.77.0.1"));
  EXPECT_FALSE(send("8.8.8.8"));
  EXPECT_TRUE(send(address_of(1)));
}

TEST_F(PrivateNetwork, FailsFastTowardsAnAddressThatIsGone) {
  attach(1);
  attach(2);
  secure({group("sg-a", {tcp(0, 65535, "0.0.0.0/0")})}, {{"10.77.0.1", {"sg-a"}}, {address_of(1), {"sg-a"}}, {address_of(2), {"sg-a"}}});
  EXPECT_EQ(connect(vpc_netns(), address_of(2), 80), ECONNREFUSED);
  ASSERT_TRUE(network_.detach(task_id(2)));
  ASSERT_TRUE(network_.detach(task_id(2)));
  EXPECT_EQ(connect(vpc_netns(), address_of(2), 80), EHOSTUNREACH);
  EXPECT_EQ(connect(1, 2, 80), EHOSTUNREACH);
}

TEST_F(PrivateNetwork, CutsOffADetachedTaskWhoseProcessesLiveOn) {
  attach(1);
  attach(2);
  auto former = sys::open_netns(task_netns(2));  // as a process in it would, this keeps the namespace
  SecurityRule all;
  all.cidr = "0.0.0.0/0";
  secure({group("sg-a", {all})}, {{address_of(1), {"sg-a"}}, {address_of(2), {"sg-a"}}});
  auto receiver = open_socket(task_netns(1), SOCK_DGRAM), sender = open_socket(task_netns(2), SOCK_DGRAM);
  auto port = socket_address("0.0.0.0", 9000), to = socket_address(address_of(1), 9000);
  ASSERT_EQ(::bind(receiver.get(), reinterpret_cast<sockaddr*>(&port), sizeof port), 0);
  auto arrives = [&] {
    EXPECT_EQ(::sendto(sender.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 1);
    pollfd wait{.fd = receiver.get(), .events = POLLIN, .revents = 0};
    char byte;
    return ::poll(&wait, 1, 150) == 1 && ::read(receiver.get(), &byte, 1) == 1;
  };
  EXPECT_TRUE(arrives());
  ASSERT_TRUE(network_.detach(task_id(2)));
  EXPECT_FALSE(arrives());
  EXPECT_EQ(connect(vpc_netns(), address_of(2), 80), EHOSTUNREACH);
  attach(2);  // the same task again, while its former namespace lives
  auto server = listen(2, 80);
  EXPECT_EQ(connect(1, 2, 80), 0);
}

TEST_F(PrivateNetwork, CarriesTheFirstPacketAfterAttach) {
  // A lost one would cost a second (TCP's first retransmission).
  attach(1);
  std::map<std::string, std::vector<std::string>> members{{address_of(1), {"sg-a"}}};
  for (int task = 2; task < 12; ++task) members[address_of(task)] = {"sg-a"};
  secure({group("sg-a", {tcp(0, 65535, "0.0.0.0/0")})}, members);
  auto server = listen(1, 80);
  for (int task = 2; task < 12; ++task) {
    attach(task);
    EXPECT_EQ(connect(task, 1, 80), 0) << task;
  }
}

TEST_F(PrivateNetwork, HealsWhatACrashLeftHalfDone) {
  // An empty file where the task's namespace was to be, and one without links where the VPC's was to be configured.
  ASSERT_TRUE(sys::create_netns(vpc_netns()));
  std::ofstream(sys::netns_path(task_netns(1))).close();
  attach(1);
  attach(2);
  auto server = listen(2, 80);
  std::map<std::string, std::vector<std::string>> members{{address_of(1), {"sg-a"}}, {address_of(2), {"sg-a"}}};
  secure({group("sg-a", {tcp(80, 80, "0.0.0.0/0")})}, members);
  EXPECT_EQ(connect(1, 2, 80), 0);

  // A link pair whose router side was never brought up.
  auto netns = sys::open_netns(task_netns(2));
  ASSERT_TRUE(sys::run_in_netns(*netns, []() -> Result<void> {
    TRY(auto netlink, sys::Netlink::open());
    return netlink.delete_link("eth0");
  }));
  EXPECT_EQ(connect(1, 2, 80), EHOSTUNREACH);
  attach(2);
  EXPECT_EQ(connect(1, 2, 80), 0);

  // Another daemon with the same root takes over: nothing changes for the tasks, not even while it has not set the rules.
  Network next(root_id_);
  ASSERT_TRUE(next.ensure_vpc(kVpc, kCidr));
  EXPECT_EQ(connect(1, 2, 80), 0);
  auto existing = next.list();
  EXPECT_EQ(existing->vpcs, std::vector<std::string>{kVpc});
  EXPECT_EQ(existing->tasks, (std::vector{task_id(1), task_id(2)}));
}

TEST_F(PrivateNetwork, GivesAnAddressToItsNextTaskWhenTheFormerOneWasNotDetached) {
  attach(1);
  attach(2);
  auto moved = network_.attach(task_id(3), {.vpc = kVpc, .vpc_cidr = kCidr, .address = address_of(2), .mac = {}});
  ASSERT_TRUE(moved) << moved.error().message;
  secure({group("sg-a", {tcp(80, 80, "0.0.0.0/0")})}, {{address_of(1), {"sg-a"}}, {address_of(2), {"sg-a"}}});
  ASSERT_TRUE(network_.detach(task_id(2)));
  auto server = listen(3, 80);
  EXPECT_EQ(connect(1, 2, 80), 0);
}

TEST_F(PrivateNetwork, RefusesWhatItCannotExpress) {
  EXPECT_EQ(network_.ensure_vpc("../x", kCidr).error().code, Code::InvalidArgument);
  EXPECT_EQ(network_.ensure_vpc(kVpc, "10.0.0.0").error().code, Code::InvalidArgument);
  EXPECT_EQ(network_.attach("t1", {.vpc = kVpc, .vpc_cidr = kCidr, .address = "10.78.0.4", .mac = {}}).error().code, Code::InvalidArgument);
  ASSERT_TRUE(network_.ensure_vpc(kVpc, kCidr));
  EXPECT_EQ(network_.set_security(kVpc, {group("sg-a; flush ruleset", {})}, {}).error().code, Code::InvalidArgument);
  EXPECT_EQ(network_.set_security(kVpc, {group("sg-a", {tcp(90, 80, "0.0.0.0/0")})}, {}).error().code, Code::InvalidArgument);
  EXPECT_EQ(network_.set_security("vpc-none", {}, {}).error().code, Code::NotFound);
}

// The "host" is a namespace too, with an "outside" behind it, so that nothing of the real host is touched.
TEST_F(PrivateNetwork, ReachesTheOutsideOnlyOverAnUplink) {
  auto host_name = "watari-test-host-" + root_id_, outside_name = "watari-test-outside-" + root_id_;
  ASSERT_TRUE(sys::create_netns(host_name));
  ASSERT_TRUE(sys::create_netns(outside_name));
  auto host = sys::open_netns(host_name), outside = sys::open_netns(outside_name);
  auto work = sys::run_in_netns(*outside, []() -> Result<void> {
    TRY(auto netlink, sys::Netlink::open());
    return netlink.set_up("lo");
  });
  work = sys::run_in_netns(*host, [&]() -> Result<void> {
    TRY_VOID(sys::write_sysctl("net/ipv4/ip_forward", "0"));
    TRY(auto netlink, sys::Netlink::open());
    TRY_VOID(netlink.set_up("lo"));
    TRY_VOID(netlink.add_veth({.name = "wan", .mac = {}, .peer_name = "lan", .peer_mac = {}}, *outside));
    TRY_VOID(netlink.add_address("wan", "198.51.100.1/24"));
    TRY_VOID(sys::run_in_netns(*outside, []() -> Result<void> {
      TRY(auto there, sys::Netlink::open());
      TRY_VOID(there.set_up("lan"));
      return there.add_address("lan", "198.51.100.2/24");
    }));
    attach(1);
    secure({group("sg-a", {})}, {{address_of(1), {"sg-a"}}, {address_of(2), {"sg-a"}}});
    auto listen_in = [](const std::string& netns) {
      auto socket = open_socket(netns, SOCK_STREAM);
      auto any = socket_address("0.0.0.0", 80);
      EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
      EXPECT_EQ(::listen(socket.get(), 8), 0);
      return socket;
    };
    auto server = listen_in(outside_name), own = listen_in(host_name);
    EXPECT_EQ(connect(task_netns(1), "198.51.100.2", 80), ENETUNREACH);
    Network next(root_id_);  // a daemon that comes back connects again, and takes nothing away
    for (auto* network : {&network_, &next}) {
      TRY_VOID(network->attach(task_id(2), {.vpc = kVpc, .vpc_cidr = kCidr, .address = address_of(2), .mac = {}, .outside = true}));
      EXPECT_EQ(connect(task_netns(2), "198.51.100.2", 80), 0);
      EXPECT_EQ(connect(task_netns(2), "198.51.100.1", 80), ETIMEDOUT) << "the host itself is not the outside";
      EXPECT_EQ(connect(task_netns(1), "198.51.100.2", 80), ENETUNREACH) << "others stay inside";
    }
    EXPECT_EQ(*sys::read_sysctl("net/ipv4/ip_forward"), "1");
    TRY_VOID(network_.detach(task_id(2)));
    TRY_VOID(network_.attach(task_id(3), {.vpc = kVpc, .vpc_cidr = kCidr, .address = address_of(2), .mac = {}}));
    EXPECT_EQ(connect(task_netns(3), "198.51.100.2", 80), ENETUNREACH) << "the right does not pass on with the address";
    attach(4, true);
    TRY_VOID(network_.remove_all());
    TRY(auto rules, sys::list_nft("ruleset"));
    EXPECT_EQ(rules, "");
    TRY(auto links, netlink.links());
    EXPECT_EQ(links, (std::vector<std::string>{"lo", "wan"}));
    EXPECT_EQ(*sys::read_sysctl("net/ipv4/ip_forward"), "0");
    return {};
  });
  EXPECT_TRUE(work) << work.error().message;
  EXPECT_TRUE(sys::remove_netns(host_name));
  EXPECT_TRUE(sys::remove_netns(outside_name));
}

double millis_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

TEST_F(PrivateNetwork, AttachesTwoHundredTasksFastAndLeavesNothing) {
  constexpr int kTasks = 200;
  auto start = std::chrono::steady_clock::now();
  for (int task = 1; task <= kTasks; ++task) attach(task);
  auto attached = millis_since(start) / kTasks;
  start = std::chrono::steady_clock::now();
  for (int task = 1; task <= kTasks; ++task) attach(task);
  auto repeated = millis_since(start) / kTasks;
  start = std::chrono::steady_clock::now();
  for (int task = 1; task <= kTasks; ++task) ASSERT_TRUE(network_.detach(task_id(task)));
  auto detached = millis_since(start) / kTasks;
  fmt::print("attach {:.2f} ms, again {:.2f} ms, detach {:.2f} ms a task\n", attached, repeated, detached);
  EXPECT_TRUE(network_.list()->tasks.empty());
}

TEST_F(PrivateNetwork, KeepsAThousandAddressesInFiftyGroupsFast) {
  ASSERT_TRUE(network_.ensure_vpc(kVpc, kCidr));
  std::vector<SecurityGroup> groups;
  std::map<std::string, std::vector<std::string>> members;
  for (int i = 0; i < 50; ++i)
    groups.push_back(group("sg-" + std::to_string(i), {tcp(80, 80, "", "sg-" + std::to_string((i + 1) % 50)), tcp(443, 443, "10.0.0.0/8")}));
  for (int i = 0; i < 1000; ++i) members[address_of(i)] = {"sg-" + std::to_string(i % 50)};
  auto start = std::chrono::steady_clock::now();
  secure(groups, members);
  auto first = millis_since(start);
  members.erase(address_of(999));
  start = std::chrono::steady_clock::now();
  secure(groups, members);
  auto second = millis_since(start);
  start = std::chrono::steady_clock::now();
  secure(groups, members);
  fmt::print("first {:.1f} ms, change {:.1f} ms, no change {:.2f} ms\n", first, second, millis_since(start));
}

}  // namespace
}  // namespace watari::engine
