#include "engine/local/uplink.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/digest.h"
#include "engine/local/security_rules.h"
#include "model/cidr.h"
#include "sys/netlink.h"
#include "sys/netns.h"
#include "sys/nftables.h"

namespace watari::engine {

namespace {

constexpr const char* kGateway = "169.254.1.1";
constexpr const char* kHostMac = "ee:ee:ee:ee:ee:01";
constexpr const char* kUplinkMac = "ee:ee:ee:ee:ee:02";
constexpr std::uint32_t kFirstAddress = 169u << 24 | 254u << 16 | 64u << 8;  // 169.254.64.0/18
constexpr std::uint32_t kAddresses = 1u << 14;

bool is_uplink(const std::string& link) { return link.size() == 15 && link[0] == 'w' && link[9] == '-'; }

// Held while forwarding is switched, as several servers on one host share the switch. The file says that one of them began it.
struct ForwardingSwitch {
  sys::Fd file;
  std::string path;

  static Result<ForwardingSwitch> lock() {
    struct stat host{};
    ::stat("/proc/thread-self/ns/net", &host);
    ForwardingSwitch held;
    held.path = fmt::format("/run/watari-forwarding-{}", host.st_ino);
    held.file.reset(::open(held.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!held.file || ::flock(held.file.get(), LOCK_EX) != 0) return sys::fail_errno("lock " + held.path);
    return held;
  }
  Result<void> on() {
    TRY(auto now, sys::read_sysctl("net/ipv4/ip_forward"));
    if (now == "1") return {};
    if (::pwrite(file.get(), "1", 1, 0) != 1) return sys::fail_errno("write " + path);
    return sys::write_sysctl("net/ipv4/ip_forward", "1");
  }
  Result<void> off() {
    struct stat info{};
    if (::fstat(file.get(), &info) == 0 && info.st_size > 0) TRY_VOID(sys::write_sysctl("net/ipv4/ip_forward", "0"));
    if (::unlink(path.c_str()) != 0) return sys::fail_errno("remove " + path);
    return {};
  }
};

std::string host_table(const std::string& root_id) {
  return fmt::format(
      "add table ip watari-{0}\ndelete table ip watari-{0}\ntable ip watari-{0} {{\n"
      "  chain input {{\n    type filter hook input priority filter; policy accept;\n"
      "    iifname \"w{0}-*\" ct state established,related accept\n    iifname \"w{0}-*\" drop\n  }}\n"
      "  chain forward {{\n    type filter hook forward priority filter; policy accept;\n"
      "    iifname \"w{0}-*\" ip daddr {{ 169.254.0.0/16, 127.0.0.0/8 }} drop\n"
      "    oifname \"w{0}-*\" ct state established,related accept\n    oifname \"w{0}-*\" drop\n  }}\n"
      "  chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n"
      "    iifname \"w{0}-*\" masquerade\n  }}\n}}\n",
      root_id);
}

// Made again without touching the set, which says who is admitted.
std::string vpc_table() {
  return fmt::format(
      "table ip watari-uplink {{\n  set outside {{\n    type ipv4_addr\n  }}\n"
      "  chain forward {{\n    type filter hook forward priority filter - 1; policy accept;\n  }}\n"
      "  chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n  }}\n}}\n"
      "flush chain ip watari-uplink forward\nflush chain ip watari-uplink postrouting\n"
      "add rule ip watari-uplink forward oifname \"{0}\" ip saddr != @outside reject with icmp type net-unreachable\n"
      "add rule ip watari-uplink postrouting oifname \"{0}\" masquerade\n",
      kUplink);
}

// Runs inside the VPC's namespace.
Result<void> configure_vpc_end(const std::string& address) {
  TRY_VOID(sys::run_nft(vpc_table()));
  TRY(auto netlink, sys::Netlink::open());
  TRY_VOID(netlink.set_up(kUplink));
  TRY_VOID(netlink.wait_until_up(kUplink));
  TRY_VOID(netlink.add_address(kUplink, address + "/32"));
  TRY_VOID(netlink.add_neighbour(kUplink, kGateway, kHostMac));
  return netlink.add_route({.destination = "default", .gateway = kGateway, .gateway_on_link = true, .source = address, .link = kUplink});
}

}  // namespace

Uplink::Uplink(std::string root_id) : root_id_(std::move(root_id)) {}

std::string Uplink::link_of(const std::string& vpc) const { return "w" + root_id_ + "-" + sha256_hex(vpc).substr(0, 5); }

// The address that the VPC's end has, or a new one. The host's route to it is what reserves it among all servers of the host.
Result<std::string> Uplink::address_of(const std::string& vpc, sys::Netlink& host, const sys::Fd& vpc_netns) const {
  std::vector<std::string> present;
  TRY_VOID(sys::run_in_netns(vpc_netns, [&]() -> Result<void> {
    TRY(auto netlink, sys::Netlink::open());
    TRY(present, netlink.addresses(kUplink));
    return {};
  }));
  sys::Route route{.destination = {}, .gateway = {}, .source = {}, .link = link_of(vpc)};
  if (!present.empty()) {
    route.destination = present.front() + "/32";
    TRY_VOID(host.add_route(route));
    return present.front();
  }
  route.exclusive = true;
  auto digest = sha256(root_id_ + vpc);
  std::uint32_t start = std::uint32_t{digest[0]} << 8 | digest[1];
  for (std::uint32_t i = 0; i < kAddresses; ++i) {
    auto address = model::ipv4_text(kFirstAddress + (start + i) % kAddresses);
    route.destination = address + "/32";
    auto added = host.add_route(route);
    if (added) return address;
    if (added.error().code != Code::AlreadyExists) return fail(std::move(added).error());
  }
  return fail(Code::ResourceExhausted, "no free address in 169.254.64.0/18 for the uplink of VPC {}", vpc);
}

Result<void> Uplink::connect(const std::string& vpc, const sys::Fd& vpc_netns) {
  TRY_VOID(sys::run_nft(host_table(root_id_)));
  TRY(auto host, sys::Netlink::open());
  auto link = link_of(vpc);
  auto made = host.add_veth({.name = link, .mac = kHostMac, .peer_name = kUplink, .peer_mac = kUplinkMac}, vpc_netns);
  if (!made && made.error().code != Code::AlreadyExists) return made;
  TRY(auto address, address_of(vpc, host, vpc_netns));
  TRY_VOID(host.add_neighbour(link, address, kUplinkMac));
  TRY_VOID(sys::run_in_netns(vpc_netns, [&] { return configure_vpc_end(address); }));
  TRY_VOID(host.wait_until_up(link));
  TRY(auto forwarding, ForwardingSwitch::lock());
  return forwarding.on();
}

Result<void> Uplink::admit(const std::string& address, bool admitted) {
  auto script = fmt::format("add element ip watari-uplink outside {{ {} }}\n", address);
  if (!admitted) script += fmt::format("delete element ip watari-uplink outside {{ {} }}\n", address);
  return sys::run_nft(script);
}

Result<void> Uplink::disconnect(const std::string& vpc) {
  TRY(auto host, sys::Netlink::open());
  TRY_VOID(host.delete_link(link_of(vpc)));
  TRY(auto links, host.links());
  if (std::ranges::any_of(links, [&](const auto& link) { return link.starts_with("w" + root_id_ + "-"); })) return {};
  return remove_host_table();
}

Result<void> Uplink::remove_host_table() {
  TRY(auto host, sys::Netlink::open());
  TRY(auto links, host.links());
  bool others = false;
  for (const auto& link : links) {
    if (!is_uplink(link)) continue;
    if (link.starts_with("w" + root_id_ + "-"))
      TRY_VOID(host.delete_link(link));
    else
      others = true;
  }
  TRY_VOID(sys::run_nft(fmt::format("add table ip watari-{0}\ndelete table ip watari-{0}\n", root_id_)));
  if (others) return {};
  TRY(auto forwarding, ForwardingSwitch::lock());
  return forwarding.off();
}

}  // namespace watari::engine
