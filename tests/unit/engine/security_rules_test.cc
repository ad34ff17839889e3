#include "engine/local/security_rules.h"

#include <gtest/gtest.h>

namespace watari::engine {
namespace {

using model::SecurityGroup;
using model::SecurityRule;

SecurityRule rule(std::string protocol, int from, int to, std::string cidr, std::string group = "") {
  SecurityRule out;
  out.id = "sgr-1";
  out.protocol = std::move(protocol);
  out.from_port = from;
  out.to_port = to;
  out.cidr = std::move(cidr);
  out.group = std::move(group);
  return out;
}

// The ingress chain of a group with this one rule.
std::string compiled(const SecurityRule& one) {
  SecurityGroup group, peer;
  group.id = "sg-a";
  peer.id = "sg-b";
  group.ingress = {one};
  auto text = compile_security({group, peer}, {});
  if (!text) return text.error().message;
  auto from = text->find("chain sg-a-ingress {\n") + 21;
  return text->substr(from, text->find("  }", from) - from);
}

TEST(SecurityRules, CompileEachKindOfPermission) {
  EXPECT_EQ(compiled(rule("tcp", 80, 80, "10.0.0.0/8")), "    ip saddr 10.0.0.0/8 tcp dport 80 accept\n");
  EXPECT_EQ(compiled(rule("udp", 53, 60, "", "sg-b")), "    ip saddr @sg-b udp dport 53-60 accept\n");
  EXPECT_EQ(compiled(rule("tcp", 0, 65535, "0.0.0.0/0")), "     meta l4proto tcp accept\n");
  EXPECT_EQ(compiled(rule("icmp", 8, -1, "0.0.0.0/0")), "     icmp type 8 accept\n");
  EXPECT_EQ(compiled(rule("icmp", 3, 4, "0.0.0.0/0")), "     icmp type 3 icmp code 4 accept\n");
  EXPECT_EQ(compiled(rule("50", -1, -1, "0.0.0.0/0")), "     meta l4proto 50 accept\n");
  EXPECT_EQ(compiled(rule("-1", -1, -1, "1.2.3.4/32")), "    ip saddr 1.2.3.4/32  accept\n");
}

TEST(SecurityRules, LeaveOutWhatCanMatchNothingHere) {
  EXPECT_EQ(compiled(rule("-1", -1, -1, "::/0")), "");
  EXPECT_EQ(compiled(rule("tcp", 80, 80, "", "sg-gone")), "");
}

TEST(SecurityRules, RefuseWhatCannotBeSaid) {
  EXPECT_EQ(compiled(rule("tcp", 90, 80, "0.0.0.0/0")), "rule sgr-1: ports 90-80 are no range");
  EXPECT_EQ(compiled(rule("sctp; accept", 1, 2, "0.0.0.0/0")),
            "rule sgr-1: protocol 'sctp; accept' is not tcp, udp, icmp, -1 or a number below 256");
  EXPECT_FALSE(compile_security({}, {{"10.0.0.1; accept", {}}}));
}

}  // namespace
}  // namespace watari::engine
