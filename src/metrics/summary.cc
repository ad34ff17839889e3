#include "metrics/summary.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"

namespace watari::metrics {
namespace {

// Classes: 0 for 0; 1.05^i for positive values, shifted so that 1e-9 has the first; mirrored for negative ones.
constexpr double kGrowth = 1.05;
constexpr double kLeast = 1e-9;
constexpr int kMost = 2000;  // 1e-9 * 1.05^2000: 2e33

std::int16_t class_of(double value) {
  if (std::abs(value) < kLeast) return 0;
  int at = 1 + static_cast<int>(std::lround(std::log(std::abs(value) / kLeast) / std::log(kGrowth)));
  at = std::min(at, kMost);
  return static_cast<std::int16_t>(value < 0 ? -at : at);
}

double value_of(std::int16_t at) {
  if (at == 0) return 0;
  double value = kLeast * std::pow(kGrowth, std::abs(at) - 1);
  return at < 0 ? -value : value;
}

}  // namespace

void Summary::add(double value, double times) {
  Summary one = totals(times, value * times, value, value);
  one.spread = {{class_of(value), times}};
  add(one);
}

void Summary::add(const Summary& other) {
  if (other.count <= 0) return;
  bool first = count <= 0;
  bool known = (first || !spread.empty()) && !other.spread.empty();
  min = first ? other.min : std::min(min, other.min);
  max = first ? other.max : std::max(max, other.max);
  count += other.count;
  sum += other.sum;
  if (!known) return spread.clear();
  for (const auto& [at, times] : other.spread) {
    auto place = std::ranges::lower_bound(spread, at, {}, &std::pair<std::int16_t, double>::first);
    if (place != spread.end() && place->first == at) place->second += times;
    else spread.insert(place, {at, times});
  }
}

std::optional<double> Summary::percentile(double share) const {
  if (count <= 0) return std::nullopt;
  if (min == max) return min;
  if (spread.empty()) return std::nullopt;
  if (share <= 0) return min;
  if (share >= 1) return max;
  double wanted = share * count, below = 0;
  for (const auto& [at, times] : spread)
    if ((below += times) >= wanted) return std::clamp(value_of(at), min, max);
  return max;
}

Summary totals(double count, double sum, double min, double max) {
  Summary out;
  out.count = count;
  out.sum = sum;
  out.min = min;
  out.max = max;
  return out;
}

Result<Statistic> Statistic::parse(std::string_view text) {
  constexpr std::pair<std::string_view, Kind> kNames[] = {{"Average", Kind::Average}, {"Sum", Kind::Sum}, {"Minimum", Kind::Minimum},
                                                          {"Maximum", Kind::Maximum}, {"SampleCount", Kind::SampleCount}};
  for (const auto& [name, kind] : kNames)
    if (text == name) return Statistic{kind, 0};
  if (text.starts_with("p")) {
    auto percent = parse_number<double>(text.substr(1));
    if (percent && *percent >= 0 && *percent <= 100) return Statistic{Kind::Percentile, *percent / 100};
  }
  return fail(Code::InvalidArgument,
              "the statistic {} is not supported by Watari; use Average, Sum, Minimum, Maximum, SampleCount or a percentile (p50, p99.9)", text);
}

std::optional<double> Statistic::of(const Summary& summary) const {
  if (summary.count <= 0) return std::nullopt;
  switch (kind) {
    case Kind::Average: return summary.sum / summary.count;
    case Kind::Sum: return summary.sum;
    case Kind::Minimum: return summary.min;
    case Kind::Maximum: return summary.max;
    case Kind::SampleCount: return summary.count;
    case Kind::Percentile: return summary.percentile(share);
  }
  return std::nullopt;
}

}  // namespace watari::metrics
