#include "metrics/store.h"

#include <algorithm>

namespace watari::metrics {
namespace {

std::int64_t seconds_of(Time time) { return std::chrono::floor<Seconds>(time).time_since_epoch().count(); }

}  // namespace

void Store::add_to(Series& series, Time at, const Summary& samples) {
  series.newest = std::max(series.newest, at);
  for (std::size_t i = 0; i < kTiers.size(); ++i) {
    auto index = seconds_of(at) / kTiers[i].width;
    auto oldest = seconds_of(series.newest) / kTiers[i].width - static_cast<std::int64_t>(kTiers[i].most);
    auto& buckets = series.tiers[i];
    while (!buckets.empty() && buckets.front().index <= oldest) buckets.pop_front();
    if (index <= oldest) continue;
    auto place = std::ranges::lower_bound(buckets, index, {}, &Bucket::index);
    if (place == buckets.end() || place->index != index) place = buckets.insert(place, Bucket{index, {}});
    place->summary.add(samples);
  }
}

Result<void> Store::add(const model::Scope& scope, const model::Metric& metric, const std::string& unit, Time at, const Summary& samples) {
  auto& metrics = metrics_[scope.key()];
  auto found = metrics.find(metric);
  if (found == metrics.end()) {
    if (size() >= kMaxSeries) return fail(Code::ResourceExhausted, "Watari keeps at most {} metrics; {} of {} would be one more", kMaxSeries, metric.name, metric.space);
    found = metrics.try_emplace(metric).first;
  }
  add_to(found->second[unit], at, samples);
  return {};
}

const Store::Units* Store::find(const model::Scope& scope, const model::Metric& metric) const {
  auto of_scope = metrics_.find(scope.key());
  if (of_scope == metrics_.end()) return nullptr;
  auto found = of_scope->second.find(metric);
  return found == of_scope->second.end() ? nullptr : &found->second;
}

// The widest buckets that fit the periods exactly: they reach back farthest.
std::size_t Store::tier_for(Time from, Seconds period) {
  for (auto i = kTiers.size(); i-- > 1;)
    if (period.count() % kTiers[i].width == 0 && seconds_of(from) % kTiers[i].width == 0) return i;
  return 0;
}

Seconds Store::reach(Seconds period) {
  const auto& tier = kTiers[tier_for(Time{}, period)];
  return Seconds(tier.width * static_cast<std::int64_t>(tier.most));
}

std::vector<Point> Store::read(const model::Scope& scope, const model::Metric& metric, const std::string& unit, Time from, Time to,
                               Seconds period) const {
  std::map<std::int64_t, Summary> found;  // by number of the period
  const auto* units = find(scope, metric);
  if (!units || period.count() <= 0) return {};
  auto tier = tier_for(from, period);
  auto first = seconds_of(from), end = seconds_of(to);
  for (const auto& [name, series] : *units) {
    if (!unit.empty() && name != unit) continue;
    const auto& buckets = series.tiers[tier];
    auto width = kTiers[tier].width;
    for (auto at = std::ranges::lower_bound(buckets, first / width, {}, &Bucket::index); at != buckets.end() && at->index * width < end; ++at)
      if (at->index * width >= first) found[(at->index * width - first) / period.count()].add(at->summary);
  }
  std::vector<Point> points;
  for (auto& [number, summary] : found) points.push_back({from + period * number, std::move(summary)});
  return points;
}

std::vector<model::Metric> Store::list(const model::Scope& scope, Time since) const {
  std::vector<model::Metric> out;
  auto of_scope = metrics_.find(scope.key());
  if (of_scope == metrics_.end()) return out;
  for (const auto& [metric, units] : of_scope->second)
    if (std::ranges::any_of(units, [&](const auto& unit) { return unit.second.newest >= since; })) out.push_back(metric);
  return out;
}

std::string Store::unit_of(const model::Scope& scope, const model::Metric& metric) const {
  const auto* units = find(scope, metric);
  if (!units || units->empty()) return "None";
  return std::ranges::max_element(*units, {}, [](const auto& unit) { return unit.second.newest; })->first;
}

void Store::sweep(Time now) {
  for (auto& [scope, metrics] : metrics_)
    for (auto& [metric, units] : metrics) std::erase_if(units, [&](const auto& unit) { return unit.second.newest + kKept < now; });
  for (auto& [scope, metrics] : metrics_) std::erase_if(metrics, [](const auto& metric) { return metric.second.empty(); });
}

std::size_t Store::size() const {
  std::size_t sum = 0;
  for (const auto& [scope, metrics] : metrics_) sum += metrics.size();
  return sum;
}

}  // namespace watari::metrics
