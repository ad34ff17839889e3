#pragma once
// VPCs, subnets, security groups. Addresses are IPv4 text; ranges are CIDR text.
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "model/scope.h"

namespace watari::model {

struct Vpc {
  Scope scope;
  std::string id;    // vpc-<17 hex>
  std::string cidr;  // 172.31.0.0/16
  bool is_default = false;
  bool dns_support = true, dns_hostnames = false;  // kept for the clients that set them; names resolve by /etc/hosts
  std::vector<Tag> tags;
  WATARI_FIELDS(Vpc, scope, id, cidr, is_default, dns_support, dns_hostnames, tags)
};

struct Subnet {
  Scope scope;
  std::string id;  // subnet-<17 hex>
  std::string vpc;
  std::string cidr;  // 172.31.16.0/20; the first four addresses and the last are reserved, as on AWS
  std::string zone;  // us-east-1a
  bool is_default = false;
  bool map_public_ip = false;
  std::int64_t next_offset = 4;  // where the search for a free address begins, so that released ones rest for a while
  std::vector<Tag> tags;
  WATARI_FIELDS(Subnet, scope, id, vpc, cidr, zone, is_default, map_public_ip, next_offset, tags)
};

// What holds an address of a subnet: a task's eth0.
struct NetworkInterface {
  Scope scope;
  std::string id;  // eni-<17 hex>
  std::string vpc, subnet, zone;
  std::string address, mac;
  std::string task;  // Task::id
  std::vector<std::string> groups;
  Time created_at{};
  std::vector<Tag> tags;
  WATARI_FIELDS(NetworkInterface, scope, id, vpc, subnet, zone, address, mac, task, groups, created_at, tags)
};

// One permission. Exactly one of cidr and group is set.
struct SecurityRule {
  std::string id;                // sgr-<17 hex>
  std::string protocol = "-1";   // tcp | udp | icmp | -1 (all)
  int from_port = -1, to_port = -1;
  std::string cidr;
  std::string group;  // members of this security group
  std::string description;
  std::vector<Tag> tags;
  WATARI_FIELDS(SecurityRule, id, protocol, from_port, to_port, cidr, group, description, tags)
};

struct SecurityGroup {
  Scope scope;
  std::string id;  // sg-<17 hex>
  std::string vpc, name, description;
  std::vector<SecurityRule> ingress, egress;
  std::vector<Tag> tags;
  WATARI_FIELDS(SecurityGroup, scope, id, vpc, name, description, ingress, egress, tags)
};

}  // namespace watari::model
