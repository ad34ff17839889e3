#include "metrics/alarm.h"

#include <gtest/gtest.h>

namespace watari::metrics {
namespace {

using model::MissingData;

const model::Scope kScope{"123456789012", "us-east-1"};
const Time kNow{Seconds(1'800'000'000)};

model::Alarm alarm_of(int wanted, int periods, MissingData missing) {
  model::Alarm alarm{.scope = kScope, .name = "errors", .metric = {"Shop", "Errors", {}}, .statistic = "Sum"};
  alarm.datapoints_to_alarm = wanted;
  alarm.evaluation_periods = periods;
  alarm.threshold = 1;
  alarm.missing = missing;
  return alarm;
}

// "0 - X - X": 0 within the threshold, X beyond it, - missing, ? not seen.
std::vector<Datapoint> points(std::string_view text) {
  std::vector<Datapoint> out;
  for (char c : text) {
    if (c == ' ') continue;
    Datapoint point{.at = kNow + Seconds(60) * static_cast<int>(out.size()), .samples = 1000, .unseen = c == '?'};
    if (c == '0') point.value = 0;
    if (c == 'X') point.value = 5;
    out.push_back(point);
  }
  return out;
}

// The tables of AWS's page on missing data.
TEST(Alarm, TreatsMissingDataAsAwsTablesSay) {
  constexpr const char* kStays = "";
  struct Row {
    int wanted;
    const char* points;
    const char *missing, *ignore, *breaching, *not_breaching;
  };
  for (const auto& row : {Row{3, "0 - X - X", "OK", "OK", "OK", "OK"},
                          Row{3, "0 - - - -", "OK", "OK", "OK", "OK"},
                          Row{3, "- - - - -", "INSUFFICIENT_DATA", kStays, "ALARM", "OK"},
                          Row{3, "0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"},
                          Row{3, "- - X - -", "ALARM", kStays, "ALARM", "OK"},
                          Row{2, "0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"},
                          Row{2, "0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"},
                          Row{2, "0 - X - -", "OK", "OK", "ALARM", "OK"},
                          Row{2, "- - - - 0", "OK", "OK", "ALARM", "OK"},
                          Row{2, "- - - X -", "ALARM", kStays, "ALARM", "OK"}}) {
    for (auto [missing, expected] : {std::pair{MissingData::Missing, row.missing}, {MissingData::Ignore, row.ignore},
                                     {MissingData::Breaching, row.breaching}, {MissingData::NotBreaching, row.not_breaching}})
      EXPECT_EQ(judge(alarm_of(row.wanted, 3, missing), points(row.points)).value_or(kStays), expected)
          << row.wanted << " of 3: " << row.points << " treated as " << name_of(missing);
  }
}

TEST(Alarm, IsNotRaisedByOneLateSample) { EXPECT_FALSE(judge(alarm_of(3, 3, MissingData::Missing), points("- - - - X"))); }

TEST(Alarm, KeepsItsStateAsLongAsWhatWasNotSeenCouldChangeIt) {
  auto alarm = alarm_of(2, 2, MissingData::NotBreaching);
  EXPECT_FALSE(judge(alarm, points("? ? ? ?")));
  EXPECT_FALSE(judge(alarm, points("? ? ? X"))) << "the period before may have been beyond the threshold";
  EXPECT_EQ(judge(alarm, points("? ? ? 0")), "OK");
  EXPECT_EQ(judge(alarm, points("? ? X X")), "ALARM");
  EXPECT_FALSE(judge(alarm, points("? ? - -"))) << "the newest two that have data would count";
  EXPECT_EQ(judge(alarm, points("? - - -")), "OK");
  EXPECT_FALSE(judge(alarm_of(1, 1, MissingData::Missing), points("? ? ?")));
}

TEST(Alarm, ComparesInEveryWay) {
  struct Row {
    model::Comparison comparison;
    bool below, equal, above;
  };
  for (const auto& [comparison, below, equal, above] : {Row{model::Comparison::Greater, false, false, true}, Row{model::Comparison::GreaterOrEqual, false, true, true},
                                                        Row{model::Comparison::Less, true, false, false}, Row{model::Comparison::LessOrEqual, true, true, false}}) {
    auto alarm = alarm_of(1, 1, MissingData::Missing);
    alarm.comparison = comparison;
    for (auto [value, alarmed] : {std::pair{0.5, below}, {1.0, equal}, {1.5, above}}) {
      auto seen = points("0 0 0");
      seen.back().value = value;
      EXPECT_EQ(judge(alarm, seen), alarmed ? "ALARM" : "OK") << name_of(comparison) << " " << value;
    }
  }
}

TEST(Alarm, MayPassOverPercentilesOfFewSamples) {
  auto alarm = alarm_of(1, 1, MissingData::Missing);
  alarm.statistic = "p99";
  auto few = points("- - X");
  few.back().samples = 999;
  EXPECT_EQ(judge(alarm, few), "ALARM");
  alarm.ignore_low_samples = true;
  EXPECT_FALSE(judge(alarm, few)) << "p99 needs 1,000";
  few.back().samples = 1000;
  EXPECT_EQ(judge(alarm, few), "ALARM");
}

TEST(Alarm, SaysWhyInCloudWatchsWords) {
  auto alarm = alarm_of(2, 3, MissingData::Missing);
  EXPECT_EQ(explain(alarm, "ALARM", points("0 0 0 X X")),
            "Threshold Crossed: 2 out of the last 3 datapoints [5.0 (15/01/27 08:04:00), 5.0 (15/01/27 08:03:00), 0.0 (15/01/27 08:02:00)] were greater than "
            "or equal to the threshold (1.0) (minimum 2 datapoints for OK -> ALARM transition).");
  EXPECT_NE(explain(alarm, "OK", points("0 0 0 0 X")).find("were not greater than or equal to the threshold (1.0) (minimum 2 datapoints for ALARM -> OK"), std::string::npos);
  EXPECT_EQ(explain(alarm, "INSUFFICIENT_DATA", points("- - - - -")), "Insufficient Data: 3 datapoints were unknown.");
}

TEST(Alarm, LooksAtWholePeriodsOfTheScaledClock) {
  Store store(kNow - Seconds(3600));
  auto alarm = alarm_of(1, 1, MissingData::Missing);
  ASSERT_TRUE(store.add(kScope, alarm.metric, "Count", kNow - Seconds(1), totals(3, 3, 1, 1)));
  ASSERT_TRUE(store.add(kScope, alarm.metric, "Count", kNow, totals(100, 100, 1, 1)));  // of the period that goes on
  auto seen = datapoints(store, alarm, kNow + Seconds(5), 1);
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen.back().value, 3);
  EXPECT_EQ(seen.back().at, kNow - Seconds(60));
  auto fast = datapoints(store, alarm, kNow + Millis(1500), 60);
  EXPECT_EQ(fast.back().value, 100) << "a minute takes a second";
  EXPECT_EQ(fast.back().at, kNow);
}

TEST(Alarm, KnowsWhatNobodySaw) {
  Store store(kNow - Seconds(90));
  auto seen = datapoints(store, alarm_of(1, 1, MissingData::Missing), kNow, 1);
  EXPECT_TRUE(seen[0].unseen);
  EXPECT_TRUE(seen[1].unseen) << "half of it was";
  EXPECT_FALSE(seen[2].unseen);
}

}  // namespace
}  // namespace watari::metrics
