#include "metrics/alarm.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"

namespace watari::metrics {
namespace {

using model::MissingData;

enum class Kind { Missing, Good, Breaching };

bool breaches(const model::Alarm& alarm, double value) {
  switch (alarm.comparison) {
    case model::Comparison::GreaterOrEqual: return value >= alarm.threshold;
    case model::Comparison::Greater: return value > alarm.threshold;
    case model::Comparison::Less: return value < alarm.threshold;
    case model::Comparison::LessOrEqual: return value <= alarm.threshold;
  }
  return false;
}

const char* in_words(model::Comparison comparison) {
  switch (comparison) {
    case model::Comparison::GreaterOrEqual: return "greater than or equal to";
    case model::Comparison::Greater: return "greater than";
    case model::Comparison::Less: return "less than";
    case model::Comparison::LessOrEqual: return "less than or equal to";
  }
  return "";
}

// The state that these periods (oldest first) lead to, by AWS's table of missing data; nothing: it stays.
std::optional<std::string> judge_kinds(const model::Alarm& alarm, const std::vector<Kind>& kinds) {
  const int wanted = alarm.datapoints_to_alarm, periods = alarm.evaluation_periods;
  int real = 0, breaching = 0, good_of_all = 0;
  for (auto at = kinds.rbegin(); at != kinds.rend(); ++at) {
    if (*at == Kind::Missing) continue;
    good_of_all += *at == Kind::Good;
    if (++real <= periods) breaching += *at == Kind::Breaching;
  }
  const int filled = std::max(0, periods - real);
  if (breaching >= wanted) return "ALARM";
  if (filled == 0 || alarm.missing == MissingData::NotBreaching) return "OK";
  if (alarm.missing == MissingData::Breaching) return breaching + filled >= wanted ? "ALARM" : "OK";
  if (good_of_all > 0) return "OK";
  if (alarm.missing == MissingData::Ignore) return std::nullopt;
  if (real == 0) return "INSUFFICIENT_DATA";
  // Only breaching and missing ones: an alarm once the oldest breaching one is old enough, so that one late sample raises none.
  for (int age = std::min(periods, static_cast<int>(kinds.size())); age >= wanted; --age)
    if (kinds[kinds.size() - static_cast<std::size_t>(age)] == Kind::Breaching) return "ALARM";
  return std::nullopt;
}

bool too_few_samples(const model::Alarm& alarm, const Datapoint& point) {
  auto statistic = Statistic::parse(alarm.statistic);
  if (!alarm.ignore_low_samples || !point.value || !statistic || statistic->kind != Statistic::Kind::Percentile) return false;
  auto far = std::min(statistic->share, 1 - statistic->share);
  return far > 0 && point.samples < 10 / far;
}

std::string number(double value) {
  return value == std::floor(value) && std::abs(value) < 1e15 ? fmt::format("{:.1f}", value) : fmt::format("{}", value);
}

std::string day_and_time(Time time) {
  auto text = iso8601(time);  // 2026-11-22T17:04:33.120Z -> 22/11/26 17:04:33
  return fmt::format("{}/{}/{} {}", text.substr(8, 2), text.substr(5, 2), text.substr(2, 2), text.substr(11, 8));
}

}  // namespace

std::optional<std::string> judge(const model::Alarm& alarm, const std::vector<Datapoint>& points) {
  if (std::ranges::any_of(points, [&](const Datapoint& point) { return too_few_samples(alarm, point); })) return std::nullopt;
  // What nobody saw may have been anything: only what follows in every case is so.
  std::optional<std::optional<std::string>> result;
  for (auto unseen : {Kind::Missing, Kind::Good, Kind::Breaching}) {
    std::vector<Kind> kinds;
    for (const auto& point : points)
      kinds.push_back(point.value ? (breaches(alarm, *point.value) ? Kind::Breaching : Kind::Good) : point.unseen ? unseen : Kind::Missing);
    auto state = judge_kinds(alarm, kinds);
    if (result && *result != state) return std::nullopt;
    result = state;
  }
  return *result;
}

std::string explain(const model::Alarm& alarm, const std::string& state, const std::vector<Datapoint>& points) {
  std::vector<std::string> values;
  int breaching = 0, good = 0;
  bool alarmed = state == "ALARM";
  for (auto at = points.rbegin(); at != points.rend() && static_cast<int>(values.size()) < alarm.evaluation_periods; ++at) {
    if (!at->value) continue;
    bool breach = breaches(alarm, *at->value);
    breaching += breach;
    good += !breach;
    values.push_back(fmt::format("{} ({})", number(*at->value), day_and_time(at->at)));
  }
  auto plural = [](int count) { return count == 1 ? "" : "s"; };
  if (state == "INSUFFICIENT_DATA")
    return fmt::format("Insufficient Data: {} datapoint{} {} unknown.", alarm.evaluation_periods, plural(alarm.evaluation_periods),
                       alarm.evaluation_periods == 1 ? "was" : "were");
  if (values.empty())
    return fmt::format("Threshold Crossed: no datapoints were received for {} period{} and {} missing datapoint{} {} treated as [{}].",
                       alarm.evaluation_periods, plural(alarm.evaluation_periods), alarm.evaluation_periods, plural(alarm.evaluation_periods),
                       alarm.evaluation_periods == 1 ? "was" : "were", alarmed ? "Breaching" : "NonBreaching");
  int count = alarmed ? breaching : good;
  int least = alarmed ? alarm.datapoints_to_alarm : alarm.evaluation_periods - alarm.datapoints_to_alarm + 1;
  return fmt::format("Threshold Crossed: {} out of the last {} datapoints [{}] {} {}{} the threshold ({}) (minimum {} datapoint{} for {} transition).",
                     count, values.size(), join(values, ", "), count == 1 ? "was" : "were", alarmed ? "" : "not ", in_words(alarm.comparison),
                     number(alarm.threshold), least, plural(least), alarmed ? "OK -> ALARM" : "ALARM -> OK");
}

Seconds real_period(const model::Alarm& alarm, double time_scale) {
  auto scaled = std::llround(static_cast<double>(alarm.period.count()) / std::max(time_scale, 1e-6));
  return Seconds(std::max<long long>(1, scaled));
}

Seconds real_step(const model::Alarm& alarm, double time_scale) {
  // Periods that begin at any minute are not kept for longer.
  bool far = alarm.period * (alarm.evaluation_periods + kSpare) > Store::reach(Seconds(60));
  model::Alarm step;
  step.period = Seconds(far ? 300 : 60);
  return std::min(real_period(alarm, time_scale), real_period(step, time_scale));
}

std::vector<Datapoint> datapoints(const Store& store, const model::Alarm& alarm, Time now, double time_scale) {
  auto period = real_period(alarm, time_scale), step = real_step(alarm, time_scale);
  auto seconds = std::chrono::floor<Seconds>(now).time_since_epoch();
  Time end{seconds - seconds % step};
  const int count = alarm.evaluation_periods + kSpare;
  Time from = end - period * count;
  std::vector<Datapoint> out;
  for (int i = 0; i < count; ++i) out.push_back({.at = from + period * i, .unseen = from + period * i < store.since()});
  auto statistic = Statistic::parse(alarm.statistic);
  if (!statistic) return out;
  for (const auto& point : store.read(alarm.scope, alarm.metric, alarm.unit, from, end, period)) {
    auto& datapoint = out[static_cast<std::size_t>((point.at - from) / period)];
    datapoint.value = statistic->of(point.summary);
    datapoint.samples = point.summary.count;
  }
  return out;
}

}  // namespace watari::metrics
