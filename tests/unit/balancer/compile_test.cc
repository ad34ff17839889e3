#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "balancer/compile.h"
#include "balancer/counting.h"
#include "balancer/process.h"
#include "balancer/slots.h"
#include "balancer/socket.h"
#include "support.h"

namespace watari::balancer {
namespace {

using namespace std::chrono_literals;
using testing::edit, testing::put;

const std::string kShop = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/shop/0123";
const std::string kAdmin = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/admin/0123";

Snapshot two_balancers() {
  Snapshot snapshot;
  for (std::string name : {"shop", "admin"}) {
    put(snapshot.load_balancers, {.arn = "lb/" + name, .name = name, .dns_name = name + "-1.us-east-1.elb.localhost",
                                  .attributes = {{"idle_timeout.timeout_seconds", name == "shop" ? "120" : "60"}}});
    put(snapshot.listeners, {.arn = "listener/" + name, .load_balancer = "lb/" + name, .port = 80});
    const auto& group = name == "shop" ? kShop : kAdmin;
    put(snapshot.target_groups, {.arn = group, .name = name, .vpc = "vpc-1"});
    put(snapshot.rules, {.arn = "default/" + name, .listener = "listener/" + name, .action = {.forward = {{group, 1}}}});
  }
  edit(snapshot.target_groups, kShop)->health_check = {.port = "9000", .path = "/it's?a=b", .matcher = "200-299,302", .interval = 10s,
                                                      .timeout = 3s, .healthy_threshold = 3, .unhealthy_threshold = 4};
  put(snapshot.rules, {.arn = "rule/1", .listener = "listener/shop", .priority = 7,
                       .conditions = {{"path-pattern", "", {"/a b'*"}}, {"source-ip", "", {"10.0.0.0/8", "::1/128"}}},
                       .action = {.type = model::ActionType::FixedResponse, .status_code = "403", .body = "no"}});
  put(snapshot.rules, {.arn = "rule/2", .listener = "listener/shop", .priority = 3,
                       .conditions = {{"http-header", "X-Beta", {"*yes?"}}, {"query-string", "", {"v=2*"}}},
                       .action = {.forward = {{kShop, 90}, {kAdmin, 10}}}});
  put(snapshot.rules, {.arn = "rule/3", .listener = "listener/admin", .priority = 1,
                       .conditions = {{"host-header", "", {"*.old.test"}}},
                       .action = {.type = model::ActionType::Redirect, .status_code = "HTTP_302", .protocol = "#{protocol}",
                                  .host = "new.test", .path = "/x/#{path}", .query = "from=#{host}&%20<"}});
  return snapshot;
}

CompileOptions options() {
  return {.run_directory = "/run/w", .addresses = {"127.0.0.1", "[::1]"}, .namespaces = {{"vpc-1", "watari-0-vpc-1 4:1"}}};
}

// WATARI_ACCEPT=1 writes what the code makes now.
void expect_golden(const std::string& name, const std::string& text) {
  auto path = std::string(WATARI_SOURCE_DIR) + "/tests/golden/balancer/" + name;
  if (std::getenv("WATARI_ACCEPT")) ASSERT_TRUE(write_file(path, text));
  EXPECT_EQ(text, read_file(path).value_or("")) << path << "; WATARI_ACCEPT=1 takes the new text";
}

TEST(Compile, MakesTheWholeConfiguration) {
  auto plan = compile(two_balancers(), options());
  std::map<std::string, SlotTable> tables;
  for (const auto& backend : plan.backends) tables[backend.name].slots.resize(2);
  auto& slots = tables[plan.backends[0].name].slots;
  slots[0] = {.address = "10.0.0.7:8080", .up = true, .settled = true};
  slots[1] = {.address = "10.0.0.8:8080"};
  expect_golden("two_balancers.cfg", render(plan, tables, "0123456789abcdef", "/run/w", 1));
  expect_golden("two_balancers.state", render_states(plan, tables));
}

TEST(Compile, KeepsTargetsAndWeightsOutOfTheStructure) {
  auto snapshot = two_balancers();
  auto generation = [&] {
    auto plan = compile(snapshot, options());
    std::map<std::string, SlotTable> tables;
    for (const auto& backend : plan.backends) tables[backend.name].slots.resize(8);
    return generation_of(plan, tables, "/run/w");
  };
  auto before = generation();
  put(snapshot.targets, {.target_group = kShop, .address = "10.0.0.7", .port = 80});
  edit(snapshot.rules, "rule/2")->action.forward[0].weight = 1;
  EXPECT_EQ(generation(), before);
  edit(snapshot.target_groups, kShop)->health_check.path = "/other";
  EXPECT_NE(generation(), before);
}

TEST(Compile, ReweighsWithoutCompilingAnew) {
  auto before = two_balancers(), now = before;
  auto plan = compile(before, options());
  edit(now.rules, "rule/2")->action.forward = {{kShop, 1}, {kAdmin, 3}};
  put(now.targets, {.target_group = kShop, .address = "10.0.0.7", .port = 80});
  EXPECT_EQ(reweigh(plan, before, now, options()), std::set{rule_key("rule/2")});
  EXPECT_EQ(plan.splits, compile(now, options()).splits);
  EXPECT_NE(plan.splits, compile(before, options()).splits);
}

TEST(Compile, CompilesAnewWhenMoreThanWeightsDiffers) {
  auto before = two_balancers();
  using Change = std::function<void(Snapshot&)>;
  std::vector<Change> changes = {
      [](Snapshot& now) { edit(now.load_balancers, "lb/shop")->dns_name = "other"; },
      [](Snapshot& now) { edit(now.listeners, "listener/shop")->port = 81; },
      [](Snapshot& now) { edit(now.target_groups, kShop)->protocol = "HTTPS"; },
      [](Snapshot& now) { now.rules.erase("rule/3"); },
      [](Snapshot& now) { edit(now.rules, "rule/1")->priority = 9; },
      [](Snapshot& now) { edit(now.rules, "rule/1")->conditions[0].values = {"/other"}; },
      [](Snapshot& now) { edit(now.rules, "rule/1")->action.body = "other"; },
      [](Snapshot& now) { edit(now.rules, "rule/2")->action.forward[0].target_group = "other"; },
      [](Snapshot& now) { now.certificates.put("arn", {.pem = "pem"}); },
      [](Snapshot& now) { now.namespace_of_vpc["vpc-1"] = "other"; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    auto plan = compile(before, options());
    auto splits = plan.splits;
    auto now = before;
    changes[i](now);
    EXPECT_FALSE(reweigh(plan, before, now, options())) << "change " << i;
    EXPECT_EQ(plan.splits, splits) << "change " << i;
  }
}

TEST(Compile, LeavesOutWhatCannotBeServedNow) {
  auto with = options();
  with.closed_ports = {80};
  EXPECT_THAT(compile(two_balancers(), with).ports, ::testing::IsEmpty());
  auto snapshot = two_balancers();
  snapshot.namespace_of_vpc["vpc-1"] = "watari-0-vpc-1";
  with = options();
  with.namespaces.clear();  // the VPC's namespace does not exist yet
  auto plan = compile(snapshot, with);
  EXPECT_THAT(plan.backends, ::testing::IsEmpty());
  EXPECT_EQ(plan.splits[rule_key("default/shop")], "none");
}

TEST(Split, GivesLimitsInTenThousandths) {
  auto a = backend_name("x/a/1"), b = backend_name("x/b/1"), c = backend_name("x/c/1");
  EXPECT_EQ(split_of({{"x/a/1", 0}}), a);
  EXPECT_EQ(split_of({{"x/a/1", 0}, {"x/b/1", 5}}), b);
  EXPECT_EQ(split_of({{"x/a/1", 1}, {"x/b/1", 1}, {"x/c/1", 1}}), "3333:" + a + ":6667:" + b + ":10000:" + c);
  EXPECT_EQ(split_of({{"x/a/1", 0}, {"x/b/1", 0}}), "none");
  EXPECT_EQ(split_of({}), "none");
}

TEST(Wildcard, TreatsEverythingButStarAndQuestionMarkLiterally) {
  EXPECT_EQ(wildcard_regex("/a.b'*?"), "/a\\x2eb\\x27.*.");
}

TEST(Wildcard, TakesABackslashWhereItEscapes) {
  EXPECT_EQ(wildcard_regex("a\\*b", ".", true), "a\\x2ab");
  EXPECT_EQ(wildcard_regex("\\?\\\\*\\n", ".", true), "\\x3f\\x5c.*\\x5cn");
  EXPECT_EQ(wildcard_regex("a\\*b"), "a\\x5c.*b");
}

TEST(Wildcard, MakesOneOfARowOfStars) {
  EXPECT_EQ(wildcard_regex("***a?**"), ".*a..*");
}

TEST(Stat, ReadsColumnsByNameAndQuotedFields) {
  auto stats = parse_stat("# pxname,svname,scur,status,check_status,check_code,last_chk,addr,\nb,s1,3,DOWN 1/2,* L7STS,503,\"no, \"\"thanks\"\"\",10.0.0.1:80,\n");
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].sessions, 3);
  EXPECT_EQ(stats[0].check_status, "L7STS");
  EXPECT_EQ(stats[0].last_check, "no, \"thanks\"");
  EXPECT_EQ(stats[0].address, "10.0.0.1:80");
}

TEST(Split, BecomesRangesOfDrawsAndComesBack) {
  for (const std::string& text : {"blue", "none", "7000:blue:10000:green", "3333:a:6667:b:10000:c"}) EXPECT_EQ(split_of_map(map_of_split(text)), text);
  auto map = map_of_split("7000:blue:10000:green");
  ASSERT_EQ(map.size(), 2u);
  EXPECT_EQ(map[0], std::make_pair(std::string("0:6999"), std::string("blue")));
  EXPECT_EQ(map[1], std::make_pair(std::string("7000:9999"), std::string("green")));
}

TEST(Latency, FindsQuantilesWithinTheirClass) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.quantile(0.99), 0);
  histogram.add(0, 98);
  histogram.add(200, 2);
  EXPECT_LE(histogram.quantile(0.5), 1);
  EXPECT_GT(histogram.quantile(0.99), 150);
  EXPECT_LT(histogram.quantile(0.99), 260);
  histogram.add(1e9);
  EXPECT_EQ(histogram.total(), 101u);
}

TEST(Counting, GivesWhatASlotCountedToTheTargetThatSatInIt) {
  Counting counting;
  auto stat = [](const std::string& address, std::uint64_t total) {
    return std::vector<ServerStat>{{.backend = "b", .server = "s1", .address = address, .total = total, .responses = {0, 0, total}}};
  };
  counting.adopt(1, stat("10.0.0.1:80", 100));  // before this daemon
  counting.take(1, stat("10.0.0.1:80", 103));
  counting.take(1, stat("10.0.0.2:80", 104));  // the last one of the former target
  counting.take(1, stat("10.0.0.2:80", 110));
  counting.take(2, stat("10.0.0.2:80", 5));  // another process, from zero
  counting.take(1, stat("10.0.0.2:80", 111));
  const auto& group = counting.groups().at("b");
  EXPECT_EQ(group.targets.at("10.0.0.1:80").requests, 4u);
  EXPECT_EQ(group.targets.at("10.0.0.2:80").responses_2xx, 12u);
  EXPECT_EQ(group.total.requests, 16u);
  counting.keep({{"b", {"10.0.0.2:80"}}});
  EXPECT_EQ(group.targets.size(), 1u);
  EXPECT_EQ(group.total.requests, 16u);
}

}  // namespace
}  // namespace watari::balancer
