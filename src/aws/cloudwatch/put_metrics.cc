// PutMetricData: samples of the team's own.
#include <cmath>

#include "aws/cloudwatch/wire.h"
#include "aws/gen/cloudwatch/put_metric_data.h"
#include "metrics/store.h"

namespace watari::aws::cloudwatch {
namespace {

constexpr const char* kInvalid = "InvalidParameterValue";

Result<void> check_number(double value) {
  // AWS: between -2^360 and 2^360, no NaN.
  if (std::isfinite(value) && std::abs(value) <= std::ldexp(1.0, 360)) return {};
  return error(kInvalid, "The value {} is not a number between -2^360 and 2^360.", value);
}

Result<metrics::Summary> samples_of(const MetricDatum& datum) {
  int ways = (datum.Value ? 1 : 0) + (datum.StatisticValues ? 1 : 0) + (datum.Values.empty() ? 0 : 1);
  if (ways == 0) return error("MissingParameter", "{}: Value, Values or StatisticValues is required.", datum.MetricName);
  if (ways > 1) return error("InvalidParameterCombination", "{}: give only one of Value, Values and StatisticValues.", datum.MetricName);
  metrics::Summary out;
  if (const auto& set = datum.StatisticValues) {
    for (double value : {set->SampleCount, set->Sum, set->Minimum, set->Maximum}) TRY_VOID(check_number(value));
    if (set->SampleCount <= 0 || set->Minimum > set->Maximum)
      return error(kInvalid, "{}: SampleCount must be positive and Minimum not above Maximum.", datum.MetricName);
    return metrics::totals(set->SampleCount, set->Sum, set->Minimum, set->Maximum);
  }
  auto values = datum.Value ? std::vector<double>{*datum.Value} : datum.Values;
  if (values.size() > 150) return error(kInvalid, "{}: at most 150 Values; there are {}.", datum.MetricName, values.size());
  if (!datum.Counts.empty() && datum.Counts.size() != values.size())
    return error("InvalidParameterCombination", "{}: there are {} Values and {} Counts.", datum.MetricName, values.size(), datum.Counts.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    double times = datum.Counts.empty() ? 1 : datum.Counts[i];
    TRY_VOID(check_number(values[i]));
    TRY_VOID(check_number(times));
    if (times <= 0) return error(kInvalid, "{}: Counts must be positive.", datum.MetricName);
    out.add(values[i], times);
  }
  return out;
}

Result<void> check_time(const Call& call, const MetricDatum& datum, Time at) {
  if (at > call.now + std::chrono::hours(2))
    return error(kInvalid, "{}: the Timestamp {} is more than two hours in the future.", datum.MetricName, iso8601(at));
  if (at + metrics::Store::kKept < call.now)
    return error(kInvalid, "{}: the Timestamp {} is more than {} hours ago; Watari keeps samples no longer.", datum.MetricName, iso8601(at),
                 metrics::Store::kKept.count() / 3600);
  return {};
}

}  // namespace

Result<PutMetricDataResponse> put_metric_data(Call& call, const PutMetricDataRequest& request) {
  if (request.Namespace.starts_with("AWS/") || request.Namespace.starts_with("Watari/"))
    return error(kInvalid, "The namespace {} is the server's own.", request.Namespace);
  if (request.MetricData.empty()) return error("MissingParameter", "MetricData is required.");
  if (request.MetricData.size() > 1000) return error(kInvalid, "At most 1,000 metrics in one call; there are {}.", request.MetricData.size());
  struct Sample {
    model::Metric metric;
    std::string unit;
    Time at;
    metrics::Summary samples;
  };
  std::vector<Sample> samples;  // all are checked before one is taken
  for (const auto& datum : request.MetricData) {
    Sample sample{.unit = datum.Unit.value_or("None"), .at = datum.Timestamp.value_or(call.now)};
    if (datum.StorageResolution && *datum.StorageResolution != 1 && *datum.StorageResolution != 60)
      return error(kInvalid, "{}: StorageResolution must be 1 or 60; it is {}.", datum.MetricName, *datum.StorageResolution);
    TRY(sample.metric, metric_from_wire(request.Namespace, datum.MetricName, datum.Dimensions));
    TRY_VOID(check_time(call, datum, sample.at));
    TRY(sample.samples, samples_of(datum));
    samples.push_back(std::move(sample));
  }
  for (const auto& sample : samples)
    TRY_VOID(call.platform.control->metrics().add(call.scope, sample.metric, sample.unit, sample.at, sample.samples));
  return PutMetricDataResponse{};
}

}  // namespace watari::aws::cloudwatch
