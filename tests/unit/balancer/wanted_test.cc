// What is wanted is worked out from what changed; it must be what it would be if all of it were worked out anew.
#include "balancer/wanted.h"

#include <gtest/gtest.h>

#include <random>

#include "support.h"

namespace watari::balancer {
namespace {

using testing::edit, testing::put;

class WantedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (std::string name : {"a", "b"})
      put(snapshot_.load_balancers, {.arn = "lb/" + name, .name = name, .dns_name = name + ".test"});
    for (auto group : groups_) put(snapshot_.target_groups, {.arn = group, .name = group});
    for (int i = 0; i < 6; ++i) add_rule();
  }

  std::string any(const std::vector<std::string>& of) { return of[random_() % of.size()]; }
  template <class T>
  std::string any_key(const SharedMap<T>& of) {
    auto at = of.begin();
    for (auto skip = random_() % of.size(); skip > 0; --skip) ++at;
    return at->first;
  }
  model::Action some_weights() {
    return {.forward = {{any(groups_), static_cast<int>(random_() % 3)}, {any(groups_), static_cast<int>(random_() % 100)}}};
  }
  void add_rule() {
    auto name = std::to_string(++number_);
    put(snapshot_.listeners, {.arn = "listener/" + name, .load_balancer = any({"lb/a", "lb/b", "lb/none"}), .port = 8000 + number_});
    put(snapshot_.rules, {.arn = "rule/" + name, .listener = "listener/" + name, .action = some_weights()});
  }
  void add_target() {
    put(snapshot_.targets, {.target_group = any(groups_), .address = "10.0.0." + std::to_string(random_() % 40), .port = 80});
  }
  void change() {
    auto kind = random_() % 20;
    if (kind < 6) add_target();
    else if (kind < 9 && !snapshot_.targets.empty()) snapshot_.targets.erase(any_key(snapshot_.targets));
    else if (kind < 12 && !snapshot_.targets.empty()) edit(snapshot_.targets, any_key(snapshot_.targets))->draining_until = random_() % 2 ? std::optional(Time::max()) : std::nullopt;
    else if (kind < 16) for (auto& share : edit(snapshot_.rules, any_key(snapshot_.rules))->action.forward) share.weight = static_cast<int>(random_() % 3);
    else if (kind == 16) edit(snapshot_.rules, any_key(snapshot_.rules))->action = some_weights();
    else if (kind == 17) edit(snapshot_.target_groups, any(groups_))->health_check.path = "/" + std::to_string(random_() % 3);
    else if (kind == 18) edit(snapshot_.rules, any_key(snapshot_.rules))->tags = {{"at", std::to_string(random_())}};
    else if (random_() % 2) add_rule();
    else if (snapshot_.rules.size() > 3) snapshot_.rules.erase(any_key(snapshot_.rules));
  }

  static std::map<std::string, std::vector<std::pair<std::string, bool>>> places(const Wanted& wanted) {
    std::map<std::string, std::vector<std::pair<std::string, bool>>> out;
    for (const auto& [name, table] : wanted.tables)
      for (const auto& slot : table.slots) out[name].emplace_back(slot.address, slot.draining);
    return out;
  }

  std::mt19937 random_{5};
  int number_ = 0;
  const std::vector<std::string> groups_ = {"blue", "green", "old", "other", "unused"};
  Snapshot snapshot_;
  CompileOptions options_{.run_directory = "/run/w", .addresses = {"127.0.0.1"}};
};

TEST_F(WantedTest, WorkedOutFromWhatChangedIsWhatItWouldBeAnew) {
  Wanted wanted;
  wanted.take(snapshot_, options_);
  int quick = 0;
  for (int step = 0; step < 600; ++step) {
    for (auto changes = random_() % 4; changes > 0; --changes) change();
    auto splits = wanted.plan.splits;
    Wanted anew = wanted;
    anew.generation.clear();
    wanted.unsent.clear();
    auto commands = wanted.take(snapshot_, options_);
    EXPECT_EQ(commands, anew.take(snapshot_, options_)) << "step " << step;
    EXPECT_EQ(wanted.plan.splits, anew.plan.splits) << "step " << step;
    EXPECT_EQ(wanted.plan.frontends, anew.plan.frontends) << "step " << step;
    EXPECT_EQ(places(wanted), places(anew)) << "step " << step;
    EXPECT_EQ(wanted.generation, anew.generation) << "step " << step;
    EXPECT_EQ(wanted.overdue, anew.overdue) << "step " << step;
    EXPECT_EQ(render(wanted.plan, wanted.tables, "", "", 1), render(anew.plan, anew.tables, "", "", 1)) << "step " << step;
    for (const auto& [rule, split] : wanted.plan.splits)
      if (auto before = splits.find(rule); before == splits.end() || before->second != split) EXPECT_TRUE(wanted.unsent.contains(rule)) << "step " << step;
    quick += !wanted.compiled;
    if (HasFailure()) break;
  }
  EXPECT_GT(quick, 100);
}

TEST_F(WantedTest, AShiftOrATargetConcernsWhatChangedAlone) {
  for (int i = 0; i < 200; ++i) add_rule();
  Wanted wanted;
  wanted.take(snapshot_, options_);
  wanted.unsent.clear();
  edit(snapshot_.rules, "rule/7")->action.forward[1].weight = 1000;
  EXPECT_TRUE(wanted.take(snapshot_, options_).empty());
  EXPECT_FALSE(wanted.compiled);
  EXPECT_LE(wanted.unsent.size(), 1u);
  put(snapshot_.targets, {.target_group = "blue", .address = "10.0.0.1", .port = 80});
  EXPECT_EQ(wanted.take(snapshot_, options_).size(), 1u);
  EXPECT_FALSE(wanted.compiled);
  edit(snapshot_.target_groups, "blue")->health_check.path = "/other";
  wanted.take(snapshot_, options_);
  EXPECT_TRUE(wanted.compiled);
}

}  // namespace
}  // namespace watari::balancer
