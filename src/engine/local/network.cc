#include "engine/local/network.h"

#include <sys/stat.h>

#include <algorithm>
#include <mutex>
#include <optional>

#include "base/digest.h"
#include "base/log.h"
#include "engine/local/security_rules.h"
#include "engine/local/uplink.h"
#include "model/cidr.h"
#include "sys/netlink.h"
#include "sys/netns.h"
#include "sys/nftables.h"

namespace watari::engine {

namespace {

// Where a task sends what is not for itself. Nobody has this address: the neighbour entry says which hardware address to use.
constexpr const char* kGateway = "169.254.1.1";
// Hardware address of the router's end of every link; locally administered.
constexpr const char* kRouterMac = "ee:ee:ee:ee:ee:ee";

Result<void> check_id(const std::string& id, std::string_view what) {
  bool good = !id.empty() && id.size() <= 64 &&
              std::ranges::all_of(id, [](unsigned char c) { return std::isalnum(c) || c == '-'; });
  if (!good) return fail(Code::InvalidArgument, "'{}' is no {} id: letters, digits and '-', at most 64", id, what);
  return {};
}

// Interface names have at most 15 characters; task ids have 32.
std::string router_link(const std::string& task) { return "t" + sha256_hex(task).substr(0, 14); }

std::string default_mac(std::uint32_t address) {
  return fmt::format("0a:58:{:02x}:{:02x}:{:02x}:{:02x}", address >> 24, (address >> 16) & 255, (address >> 8) & 255, address & 255);
}

Result<void> write_sysctls(const std::vector<std::pair<const char*, const char*>>& settings) {
  for (const auto& [key, value] : settings) TRY_VOID(sys::write_sysctl(key, value));
  return {};
}

// Settings that a kernel may lack (no IPv6, no conntrack sysctls).
void try_sysctls(const std::vector<std::pair<const char*, const char*>>& settings) {
  for (const auto& [key, value] : settings)
    if (auto written = sys::write_sysctl(key, value); !written) log::debug("{}", written.error().message);
}

// Runs inside the VPC's namespace. The firewall comes before forwarding, so that no packet ever passes unfiltered.
Result<void> configure_vpc(const model::Cidr& cidr) {
  TRY_VOID(sys::run_nft(closed_table()));
  // Strict reverse path filtering: a packet whose source address is not routed back to the link it came by is dropped, which
  // is what keeps tasks from using each other's addresses. The effective value of a link is the larger of "all" and its own
  // (copied from "default" when it is made); 2 would be loose.
  TRY_VOID(write_sysctls({{"net/ipv4/conf/all/rp_filter", "1"}, {"net/ipv4/conf/default/rp_filter", "1"},
                          {"net/ipv4/conf/all/send_redirects", "0"}, {"net/ipv4/conf/default/send_redirects", "0"},
                          {"net/ipv4/conf/all/accept_redirects", "0"}, {"net/ipv4/conf/default/accept_redirects", "0"}}));
  // HAProxy opens all its connections to tasks from one address: use all ports, and forget closed connections soon, so that
  // neither ports nor conntrack entries run out under load without keep-alive.
  try_sysctls({{"net/ipv6/conf/all/disable_ipv6", "1"}, {"net/ipv6/conf/default/disable_ipv6", "1"},
               {"net/ipv4/ip_local_port_range", "1024 65535"}, {"net/ipv4/tcp_tw_reuse", "1"},
               {"net/netfilter/nf_conntrack_tcp_timeout_time_wait", "5"}});
  TRY(auto netlink, sys::Netlink::open());
  TRY_VOID(netlink.set_up("lo"));
  TRY_VOID(netlink.add_address("lo", model::ipv4_text(cidr.base + 1) + "/32"));
  TRY_VOID(netlink.add_unreachable(cidr.text()));
  return sys::write_sysctl("net/ipv4/ip_forward", "1");
}

struct Attachment {
  std::string task, vpc, address, mac, node_address;
  bool outside = false;
};

// Runs inside the task's namespace.
Result<void> configure_task(const Attachment& attachment, const sys::Fd& vpc_netns, sys::Netlink& netlink) {
  // The namespace belongs to the host's user namespace, so root inside a container holds no capability for it: without the
  // first setting nobody could listen on port 80, without the second nobody could ping.
  TRY_VOID(write_sysctls({{"net/ipv4/ip_unprivileged_port_start", "0"}, {"net/ipv4/ping_group_range", "0 2147483647"}}));
  try_sysctls({{"net/ipv6/conf/default/disable_ipv6", "1"}});
  TRY_VOID(netlink.set_up("lo"));
  TRY(bool connected, netlink.has_link("eth0"));
  if (connected) {
    // An address of its own that differs is left over from a specification that was replaced.
    TRY(auto addresses, netlink.addresses("eth0"));
    if (!addresses.empty() && addresses != std::vector{attachment.address}) {
      TRY_VOID(netlink.delete_link("eth0"));
      connected = false;
    }
  }
  if (!connected)
    TRY_VOID(netlink.add_veth({.name = "eth0", .mac = attachment.mac, .peer_name = router_link(attachment.task),
                               .peer_mac = kRouterMac},
                              vpc_netns));
  TRY_VOID(netlink.set_alias("eth0", attachment.vpc));  // for detach()
  TRY_VOID(netlink.add_address("eth0", attachment.address + "/32"));
  TRY_VOID(netlink.add_neighbour("eth0", kGateway, kRouterMac));
  return netlink.add_route({.destination = "default", .gateway = kGateway, .gateway_on_link = true, .source = {}, .link = "eth0"});
}

// Runs inside the VPC's namespace.
Result<void> configure_router(const Attachment& attachment) {
  auto link = router_link(attachment.task);
  TRY(auto netlink, sys::Netlink::open());
  TRY_VOID(netlink.set_up(link));
  TRY_VOID(netlink.add_neighbour(link, attachment.address, attachment.mac));
  TRY_VOID(netlink.add_route({.destination = attachment.address + "/32", .gateway = {}, .gateway_on_link = false,
                              .source = attachment.node_address, .link = link}));
  TRY_VOID(netlink.wait_until_up(link));
  // The address may have belonged to a task that was allowed out; without an uplink nobody is.
  TRY(bool uplink, netlink.has_link(kUplink));
  return uplink ? Uplink::admit(attachment.address, attachment.outside) : Result<void>{};
}

// A namespace that HAProxy still holds open loses its links and rules at once, not when HAProxy lets go.
Result<void> empty_vpc() {
  TRY(auto netlink, sys::Netlink::open());
  TRY(auto links, netlink.links());
  for (const auto& link : links)
    if (link != "lo") TRY_VOID(netlink.delete_link(link));
  return sys::run_nft("flush ruleset\n");
}

}  // namespace

struct Network::Impl {
  // What this process has done already, so that it need not be repeated: valid while the namespace is the same one.
  struct Vpc {
    ino_t inode = 0;
    std::string cidr;
    std::string rules;
    bool uplink = false;
  };

  std::string root_id, prefix;
  std::mutex mutex;
  std::map<std::string, Vpc> vpcs;
  std::mutex uplink_mutex;  // tasks of one VPC may be attached at the same time

  Vpc known(const std::string& vpc) {
    std::lock_guard lock(mutex);
    return vpcs[vpc];
  }
  void remember(const std::string& vpc, Vpc state) {
    std::lock_guard lock(mutex);
    vpcs[vpc] = std::move(state);
  }
  void forget(const std::string& vpc) {
    std::lock_guard lock(mutex);
    vpcs.erase(vpc);
  }
  // Without the route to its address a task is off the network in both directions (reverse path filtering). Its links end with
  // its namespace, which the kernel does for many at once; deleting them here would hold up everybody who attaches for 20 ms.
  Result<void> unroute(const std::string& task, const std::string& vpc, const std::vector<std::string>& addresses) {
    auto netns = sys::open_netns(vpc_name(vpc));
    if (!netns && netns.error().code == Code::NotFound) return {};
    if (!netns) return fail(std::move(netns).error());
    return sys::run_in_netns(*netns, [&]() -> Result<void> {
      TRY(auto netlink, sys::Netlink::open());
      for (const auto& address : addresses) TRY_VOID(netlink.delete_route(address + "/32", router_link(task)));
      return {};
    });
  }
  std::string vpc_name(const std::string& vpc) const { return prefix + vpc; }
  std::string task_name(const std::string& task) const { return prefix + "t-" + task; }
};

namespace {

ino_t inode_of(const std::string& netns) {
  struct stat info{};
  return ::stat(sys::netns_path(netns).c_str(), &info) == 0 ? info.st_ino : 0;
}

}  // namespace

Network::Network(std::string root_id) : impl_(std::make_unique<Impl>()) {
  impl_->prefix = "watari-" + root_id + "-";
  impl_->root_id = std::move(root_id);
}
Network::~Network() = default;

std::string Network::vpc_namespace_name(const std::string& vpc) const { return impl_->vpc_name(vpc); }
std::string Network::task_namespace_path(const std::string& task) const { return sys::netns_path(impl_->task_name(task)); }

Result<std::string> Network::node_address(const std::string& text) {
  TRY(auto cidr, model::parse_cidr(text));
  return model::ipv4_text(cidr.base + 1);
}

Result<std::string> Network::ensure_vpc(const std::string& vpc, const std::string& cidr_text) {
  TRY_VOID(check_id(vpc, "VPC"));
  TRY(auto cidr, model::parse_cidr(cidr_text));
  auto name = impl_->vpc_name(vpc);
  auto known = impl_->known(vpc);
  if (known.inode != 0 && known.cidr == cidr_text && known.inode == inode_of(name)) return name;
  TRY_VOID(sys::create_netns(name));
  TRY(auto netns, sys::open_netns(name));
  if (auto done = sys::run_in_netns(netns, [&] { return configure_vpc(cidr); }); !done)
    return fail(done.error().within("VPC " + vpc));
  impl_->remember(vpc, {.inode = inode_of(name), .cidr = cidr_text, .rules = {}, .uplink = false});
  return name;
}

Result<std::string> Network::attach(const std::string& task, const NetworkSpec& spec) {
  TRY_VOID(check_id(task, "task"));
  TRY(auto address, model::parse_ipv4(spec.address));
  TRY(auto cidr, model::parse_cidr(spec.vpc_cidr));
  if (!cidr.contains(address))
    return fail(Code::InvalidArgument, "task {}: address {} is outside of VPC {} ({})", task, spec.address, spec.vpc, spec.vpc_cidr);
  TRY(auto vpc_name, ensure_vpc(spec.vpc, spec.vpc_cidr));
  TRY(auto vpc_netns, sys::open_netns(vpc_name));
  auto name = impl_->task_name(task);
  TRY_VOID(sys::create_netns(name));
  TRY(auto netns, sys::open_netns(name));
  Attachment attachment{.task = task, .vpc = spec.vpc, .address = spec.address, .mac = spec.mac.empty() ? default_mac(address) : spec.mac,
                        .node_address = model::ipv4_text(cidr.base + 1), .outside = spec.outside};
  if (spec.outside) TRY_VOID(ensure_uplink(spec.vpc, vpc_netns));
  std::optional<sys::Netlink> task_end;  // of the task's namespace, on whichever thread
  auto configure = [&]() -> Result<void> {
    TRY(task_end, sys::Netlink::open());
    return configure_task(attachment, vpc_netns, *task_end);
  };
  auto done = sys::run_in_netns(netns, configure);
  if (!done && done.error().code == Code::AlreadyExists) {
    // The task was detached a moment ago, and processes still live in its former namespace.
    TRY_VOID(sys::run_in_netns(vpc_netns, [&]() -> Result<void> {
      TRY(auto netlink, sys::Netlink::open());
      return netlink.delete_link(router_link(task));
    }));
    done = sys::run_in_netns(netns, configure);
  }
  if (done) done = sys::run_in_netns(vpc_netns, [&] { return configure_router(attachment); });
  if (done) done = task_end->wait_until_up("eth0");
  if (!done) return fail(done.error().within("attach task " + task + " to VPC " + spec.vpc));
  return sys::netns_path(name);
}

Result<void> Network::detach(const std::string& task) {
  TRY_VOID(check_id(task, "task"));
  auto name = impl_->task_name(task);
  if (auto netns = sys::open_netns(name)) {
    std::string vpc;
    std::vector<std::string> addresses;
    TRY_VOID(sys::run_in_netns(*netns, [&]() -> Result<void> {
      TRY(auto netlink, sys::Netlink::open());
      TRY(vpc, netlink.alias_of("eth0"));
      if (vpc.empty()) return netlink.delete_link("eth0");  // cut short before it was noted
      TRY(addresses, netlink.addresses("eth0"));
      return {};
    }));
    if (auto done = impl_->unroute(task, vpc, addresses); !done) return fail(done.error().within("detach task " + task));
  }
  return sys::remove_netns(name);
}

Result<void> Network::set_security(const std::string& vpc, const std::vector<model::SecurityGroup>& groups,
                                   const std::map<std::string, std::vector<std::string>>& groups_of_address) {
  auto name = impl_->vpc_name(vpc);
  TRY(auto rules, compile_security(groups, groups_of_address));
  TRY(auto netns, sys::open_netns(name));
  auto known = impl_->known(vpc);
  auto inode = inode_of(name);
  if (known.inode == inode && known.rules == rules) return {};
  if (auto done = sys::run_in_netns(netns, [&] { return sys::run_nft(rules); }); !done)
    return fail(done.error().within("security groups of VPC " + vpc));
  if (known.inode == inode) {  // otherwise ensure_vpc() has not run in this process, and has to
    known.rules = std::move(rules);
    impl_->remember(vpc, std::move(known));
  }
  return {};
}

Result<void> Network::ensure_uplink(const std::string& vpc, const sys::Fd& netns) {
  std::lock_guard lock(impl_->uplink_mutex);
  if (impl_->known(vpc).uplink) return {};
  if (auto connected = Uplink(impl_->root_id).connect(vpc, netns); !connected)
    return fail(connected.error().within("uplink of VPC " + vpc));
  auto known = impl_->known(vpc);
  known.uplink = true;
  impl_->remember(vpc, std::move(known));
  return {};
}

Result<void> Network::remove_vpc(const std::string& vpc) {
  TRY_VOID(check_id(vpc, "VPC"));
  auto name = impl_->vpc_name(vpc);
  impl_->forget(vpc);
  TRY_VOID(Uplink(impl_->root_id).disconnect(vpc));
  if (auto netns = sys::open_netns(name)) {
    if (auto done = sys::run_in_netns(*netns, [] { return empty_vpc(); }); !done)
      return fail(done.error().within("remove VPC " + vpc));
  }
  return sys::remove_netns(name);
}

Result<void> Network::remove_all() {
  TRY(auto existing, list());
  for (const auto& task : existing.tasks) TRY_VOID(detach(task));
  for (const auto& vpc : existing.vpcs) TRY_VOID(remove_vpc(vpc));
  return Uplink(impl_->root_id).remove_host_table();
}

Result<Network::Existing> Network::list() const {
  TRY(auto names, sys::list_netns(impl_->prefix));
  Existing existing;
  for (const auto& name : names) {
    auto rest = name.substr(impl_->prefix.size());
    if (rest.starts_with("t-"))
      existing.tasks.push_back(rest.substr(2));
    else
      existing.vpcs.push_back(rest);
  }
  return existing;
}

}  // namespace watari::engine
