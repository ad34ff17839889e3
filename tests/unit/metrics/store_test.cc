#include "metrics/store.h"

#include <gtest/gtest.h>

namespace watari::metrics {
namespace {

const model::Scope kScope{"123456789012", "us-east-1"}, kOther{"123456789012", "eu-west-1"};
const model::Metric kMetric{"Shop", "Orders", {{"Store", "a"}}};
const Time kNow{Seconds(1'800'000'000)};

Summary one(double value) {
  Summary out;
  out.add(value);
  return out;
}

TEST(Summary, TellsEveryStatistic) {
  Summary summary;
  for (int i = 1; i <= 1000; ++i) summary.add(i);
  EXPECT_EQ(Statistic::parse("Average")->of(summary), 500.5);
  EXPECT_EQ(Statistic::parse("Sum")->of(summary), 500'500);
  EXPECT_EQ(Statistic::parse("Minimum")->of(summary), 1);
  EXPECT_EQ(Statistic::parse("Maximum")->of(summary), 1000);
  EXPECT_EQ(Statistic::parse("SampleCount")->of(summary), 1000);
  for (auto [name, value] : {std::pair{"p50", 500.0}, {"p90", 900.0}, {"p99", 990.0}, {"p99.9", 999.0}, {"p100", 1000.0}})
    EXPECT_NEAR(*Statistic::parse(name)->of(summary), value, value * 0.026) << name;
  for (auto unknown : {"tm90", "p101", "p", "IQM", ""}) EXPECT_FALSE(Statistic::parse(unknown)) << unknown;
}

TEST(Summary, KnowsPercentilesOfNegativeValuesAndZero) {
  Summary summary;
  for (double value : {-100.0, -1.0, 0.0, 1.0, 100.0}) summary.add(value);
  EXPECT_NEAR(*summary.percentile(0.4), -1, 0.03);
  EXPECT_EQ(summary.percentile(0.6), 0);
  EXPECT_EQ(summary.percentile(1), 100);
}

TEST(Summary, HasNoPercentilesOfTotals) {
  auto summary = totals(10, 55, 1, 10);
  EXPECT_FALSE(summary.percentile(0.5));
  summary.add(one(3));
  EXPECT_FALSE(summary.percentile(0.5)) << "one value known is not all";
  EXPECT_EQ(summary.count, 11);
  EXPECT_EQ(totals(10, 10, 1, 1).percentile(0.99), 1) << "all are the same";
}

TEST(Store, GathersPeriodsOfAnyLength) {
  Store store(kNow);
  for (int i = 0; i < 120; ++i) ASSERT_TRUE(store.add(kScope, kMetric, "Count", kNow + Seconds(i), one(1)));
  for (auto [period, periods] : {std::pair{1, 120}, {5, 24}, {10, 12}, {30, 4}, {60, 2}, {120, 1}}) {
    auto points = store.read(kScope, kMetric, "", kNow, kNow + Seconds(120), Seconds(period));
    ASSERT_EQ(points.size(), static_cast<std::size_t>(periods)) << period;
    for (const auto& point : points) EXPECT_EQ(point.summary.sum, period);
    EXPECT_EQ(points.back().at, kNow + Seconds(120 - period));
  }
  EXPECT_TRUE(store.read(kOther, kMetric, "", kNow, kNow + Seconds(120), Seconds(60)).empty());
}

TEST(Store, TellsUnitsApartOrNot) {
  Store store(kNow);
  ASSERT_TRUE(store.add(kScope, kMetric, "Count", kNow, one(1)));
  ASSERT_TRUE(store.add(kScope, kMetric, "Bytes", kNow + Seconds(1), one(2)));
  auto sum = [&](const std::string& unit) {
    auto points = store.read(kScope, kMetric, unit, kNow, kNow + Seconds(60), Seconds(60));
    return points.empty() ? 0 : points[0].summary.sum;
  };
  EXPECT_EQ(sum("Count"), 1);
  EXPECT_EQ(sum("Bytes"), 2);
  EXPECT_EQ(sum(""), 3);
  EXPECT_EQ(sum("Percent"), 0);
  EXPECT_EQ(store.unit_of(kScope, kMetric), "Bytes");
}

TEST(Store, ForgetsFineBucketsBeforeWideOnes) {
  Store store(kNow);
  ASSERT_TRUE(store.add(kScope, kMetric, "Count", kNow, one(1)));
  ASSERT_TRUE(store.add(kScope, kMetric, "Count", kNow + Seconds(1800), one(1)));
  auto found = [&](int period) { return store.read(kScope, kMetric, "", kNow, kNow + Seconds(300), Seconds(period)).size(); };
  EXPECT_EQ(found(1), 0u) << "after two minutes";
  EXPECT_EQ(found(10), 1u);
  ASSERT_TRUE(store.add(kScope, kMetric, "Count", kNow + Seconds(4 * 3600), one(1)));
  EXPECT_EQ(found(10), 0u);
  EXPECT_EQ(found(60), 1u);
  ASSERT_TRUE(store.add(kScope, kMetric, "Count", kNow + Seconds(86'400), one(1)));
  EXPECT_EQ(found(60), 0u);
  EXPECT_EQ(found(300), 1u);
}

TEST(Store, TakesWhatComesLate) {
  Store store(kNow);
  ASSERT_TRUE(store.add(kScope, kMetric, "Count", kNow + Seconds(20), one(1)));
  ASSERT_TRUE(store.add(kScope, kMetric, "Count", kNow, one(2)));
  auto points = store.read(kScope, kMetric, "", kNow, kNow + Seconds(30), Seconds(10));
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].summary.sum, 2);
}

TEST(Store, IsBounded) {
  Store store(kNow);
  auto metric = kMetric;
  for (std::size_t i = 0; i < Store::kMaxSeries; ++i) {
    metric.name = std::to_string(i);
    ASSERT_TRUE(store.add(kScope, metric, "Count", kNow, one(1)));
  }
  metric.name = "one more";
  EXPECT_EQ(store.add(kScope, metric, "Count", kNow, one(1)).error().code, Code::ResourceExhausted);
  metric.name = "0";
  EXPECT_TRUE(store.add(kScope, metric, "Count", kNow + Seconds(86'400 * 3), one(1)));
  store.sweep(kNow + Seconds(86'400 * 3));
  EXPECT_EQ(store.size(), 1u);
  EXPECT_EQ(store.list(kScope, kNow).size(), 1u);
}

}  // namespace
}  // namespace watari::metrics
