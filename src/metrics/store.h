#pragma once
// What was measured lately, by account, region and metric. In memory only, and bounded: a metric has buckets of 1 s for two minutes,
// of 10 s for an hour, of 60 s for twelve hours and of 300 s for two days; a stretch without samples takes no room. What has to outlive
// the daemon (an alarm's state) is not here.
//
// Owner: control::Meter. Thread: the control loop.
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "metrics/summary.h"
#include "model/alarm.h"
#include "model/scope.h"

namespace watari::metrics {

struct Point {
  Time at{};  // begin of its period
  Summary summary;
};

class Store {
 public:
  static constexpr std::size_t kMaxSeries = 10'000;
  static constexpr Seconds kKept{2 * 86'400};

  // `now`: what was before it was not seen.
  explicit Store(Time now) : since_(now) {}
  Time since() const { return since_; }

  // ResourceExhausted when the metric is new and there are kMaxSeries already. Samples that are older than kKept are dropped.
  Result<void> add(const model::Scope& scope, const model::Metric& metric, const std::string& unit, Time at, const Summary& samples);

  // The periods in [from, to) that have samples, oldest first; the first begins at `from`. An empty unit: all units together.
  // Periods are whole seconds; those that no kept width divides any more (1 s after two minutes) come out empty.
  std::vector<Point> read(const model::Scope& scope, const model::Metric& metric, const std::string& unit, Time from, Time to, Seconds period) const;

  // How long a read of this period looks back.
  static Seconds reach(Seconds period);

  // The metrics that have samples since then.
  std::vector<model::Metric> list(const model::Scope& scope, Time since) const;
  // The unit of the newest samples; "None" when there are none.
  std::string unit_of(const model::Scope& scope, const model::Metric& metric) const;

  // Drops what is older than kKept.
  void sweep(Time now);
  std::size_t size() const;

 private:
  struct Bucket {
    std::int64_t index;  // time / width
    Summary summary;
  };
  struct Tier {
    std::int64_t width;  // seconds
    std::size_t most;
  };
  static constexpr std::array<Tier, 4> kTiers{{{1, 120}, {10, 360}, {60, 720}, {300, 576}}};
  struct Series {
    std::array<std::deque<Bucket>, kTiers.size()> tiers;
    Time newest{};
  };
  using Units = std::map<std::string, Series>;
  const Units* find(const model::Scope& scope, const model::Metric& metric) const;
  static void add_to(Series& series, Time at, const Summary& samples);
  static std::size_t tier_for(Time from, Seconds period);

  Time since_;
  std::map<std::string, std::map<model::Metric, Units>> metrics_;  // by Scope::key()
};

}  // namespace watari::metrics
