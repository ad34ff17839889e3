#pragma once
// What the samples of a stretch of time amount to: count, sum, extremes, and (where single values are known) how they are spread, so
// that percentiles can be told. Plain value.
//
// The spread is a histogram with classes that grow by 5 %: a percentile is right to within 2.5 %.
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace watari::metrics {

struct Summary {
  double count = 0, sum = 0, min = 0, max = 0;
  std::vector<std::pair<std::int16_t, double>> spread;  // class -> samples, ordered; empty: not known

  // `times` samples of this value.
  void add(double value, double times = 1);
  void add(const Summary& other);

  // The value that `share` (0..1) of the samples do not exceed; nothing when single values are not known, or there is none.
  std::optional<double> percentile(double share) const;
};

// `times` samples whose sum, least and greatest are known, but not the values between.
Summary totals(double count, double sum, double min, double max);

// "Average", "Sum", "Minimum", "Maximum", "SampleCount", or a percentile: "p50", "p99.9".
struct Statistic {
  enum class Kind { Average, Sum, Minimum, Maximum, SampleCount, Percentile };
  Kind kind = Kind::Average;
  double share = 0;  // of Percentile: 0.999

  // InvalidArgument with what can be asked for.
  static Result<Statistic> parse(std::string_view text);
  std::optional<double> of(const Summary& summary) const;
};

}  // namespace watari::metrics
