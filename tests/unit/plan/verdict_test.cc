#include "plan/verdict.h"

#include <gtest/gtest.h>

#include <random>

namespace watari::plan {
namespace {

struct Release {
  bool taken_back = false;
  std::int64_t requests = 0, failures = 0;  // to the new revision, until then
};

// A release under load: every second `rate` requests, of which the new revision gets `percent`; each side fails with its share.
// The old revision has a history. As the planner does, it looks when the number of requests allows it.
Release release(std::mt19937_64& random, double old_share, double new_share, double percent, int rate, int seconds,
                std::int64_t history = 2000) {
  model::Traffic fresh, old;
  auto draw = [&](std::int64_t n, double p) { return std::binomial_distribution<std::int64_t>(n, p)(random); };
  old.requests = history;
  old.failures = draw(history, old_share);
  int looks = 0;
  for (int second = 0; second < seconds; ++second) {
    auto to_new = draw(rate, percent / 100);
    fresh.requests += to_new;
    fresh.failures += draw(to_new, new_share);
    old.requests += rate - to_new;
    old.failures += draw(rate - to_new, old_share);
    int look = look_at(static_cast<std::uint64_t>(fresh.requests));
    if (look < looks || looks >= kLooks) continue;
    looks = look + 1;
    if (failing(fresh, old)) return {true, fresh.requests, fresh.failures};
  }
  return {false, fresh.requests, fresh.failures};
}

TEST(Verdict, TakesAlmostNoGoodReleaseBack) {
  std::mt19937_64 random(1);
  struct Load {
    double share, percent;
    int rate;
    std::int64_t history;
  };
  int wrong = 0, runs = 0;
  for (auto [share, percent, rate, history] : {Load{0, 10, 100, 2000}, Load{0.001, 10, 200, 2000}, Load{0.01, 5, 100, 500},
                                               Load{0.05, 50, 20, 100}, Load{0.02, 100, 50, 50}}) {
    for (int i = 0; i < 2000; ++i, ++runs) wrong += release(random, share, share, percent, 5 * rate, 60, history).taken_back;
  }
  RecordProperty("runs", runs);
  RecordProperty("taken_back_wrongly", wrong);
  EXPECT_EQ(runs, 10'000);
  EXPECT_LT(wrong, runs / 1000) << wrong << " of " << runs;
}

TEST(Verdict, FindsBadReleasesBeforeManyUsersMeetThem) {
  std::mt19937_64 random(2);
  struct Case {
    double share;
    double requests, failures;  // on average at most
  };
  for (auto [share, requests, failures] : {Case{0.02, 1500, 35}, Case{0.05, 350, 20}, Case{0.20, 80, 16}}) {
    double sum_requests = 0, sum_failures = 0;
    constexpr int kRuns = 500;
    for (int i = 0; i < kRuns; ++i) {
      auto result = release(random, 0.001, share, 10, 200, 3600);
      ASSERT_TRUE(result.taken_back) << share;
      sum_requests += static_cast<double>(result.requests);
      sum_failures += static_cast<double>(result.failures);
    }
    std::printf("%.0f %% errors: taken back after %.0f requests, %.1f of them failed\n", share * 100, sum_requests / kRuns, sum_failures / kRuns);
    EXPECT_LE(sum_requests / kRuns, requests) << share;
    EXPECT_LE(sum_failures / kRuns, failures) << share;
  }
}

TEST(Verdict, SaysWhyInWords) {
  model::Traffic fresh{.requests = 1204, .failures = 58}, old{.requests = 10820, .failures = 11};
  EXPECT_EQ(failing(fresh, old), "4.8 % of 1,204 requests to the new revision answered 5xx or not at all, 0.1 % of 10,820 to the old one");
}

TEST(Verdict, SaysNothingWithoutEvidence) {
  EXPECT_FALSE(failing({}, {}));
  EXPECT_FALSE(failing({.requests = 50, .failures = 50}, {})) << "nothing is known of the old revision";
  EXPECT_FALSE(failing({.requests = 5000, .failures = 250}, {.requests = 5000, .failures = 260})) << "both fail";
  EXPECT_FALSE(failing({.requests = 1'000'000, .failures = 3000}, {.requests = 1'000'000, .failures = 1000})) << "worse, but it does not matter";
}

TEST(Verdict, NoticesARevisionThatBecameSlow) {
  model::Traffic old, fresh;
  old.latency = fresh.latency = std::vector<std::int64_t>(48);
  old.latency[9] = 990;    // up to 12.5 ms
  old.latency[10] = 10;
  fresh.latency[9] = 990;
  fresh.latency[14] = 10;
  EXPECT_FALSE(slow(fresh, old));
  fresh.latency[20] = 200;  // more than 100 ms
  auto why = slow(fresh, old);
  ASSERT_TRUE(why);
  EXPECT_NE(why->find("took longer than"), std::string::npos) << *why;
}

TEST(Verdict, FishersTestIsExact) {
  EXPECT_NEAR(fisher_tail(10, 3, 10, 0), 120.0 / 1140, 1e-9);
  EXPECT_NEAR(fisher_tail(10, 0, 10, 5), 1, 1e-9);
  EXPECT_NEAR(binomial_tail(10, 10, 0.5), 1.0 / 1024, 1e-12);
}

}  // namespace
}  // namespace watari::plan
