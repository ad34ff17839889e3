// Reading metrics: GetMetricStatistics, GetMetricData, ListMetrics.
#include <algorithm>
#include <set>

#include "aws/cloudwatch/wire.h"
#include "aws/gen/cloudwatch/get_metric_data.h"
#include "aws/gen/cloudwatch/get_metric_statistics.h"
#include "aws/gen/cloudwatch/list_metrics.h"
#include "aws/page.h"
#include "metrics/store.h"

namespace watari::aws::cloudwatch {
namespace {

constexpr const char* kInvalid = "InvalidParameterValue";
constexpr std::int64_t kMaxPoints = 1440;        // of GetMetricStatistics
constexpr std::size_t kMaxDataPoints = 100'800;  // of GetMetricData

// The periods that lie in [from, to), beginning at whole ones.
Result<std::vector<metrics::Point>> read(Call& call, const model::Metric& metric, const std::string& unit, Time from, Time to, int period) {
  TRY_VOID(check_period(period, false));
  if (from >= to) return error("InvalidParameterCombination", "StartTime must be before EndTime.");
  auto begin = std::chrono::floor<Seconds>(from.time_since_epoch());
  begin -= begin % Seconds(period);
  return call.platform.control->metrics().read(call.scope, metric, unit, Time(begin), to, Seconds(period));
}

Result<metrics::Statistic> statistic(const std::string& name) {
  auto parsed = metrics::Statistic::parse(name);
  if (!parsed) return error(kInvalid, "{}", parsed.error().message);
  return *parsed;
}

}  // namespace

Result<GetMetricStatisticsResponse> get_metric_statistics(Call& call, const GetMetricStatisticsRequest& request) {
  if (request.Statistics.empty() == request.ExtendedStatistics.empty())
    return error("InvalidParameterCombination", "Give either Statistics or ExtendedStatistics.");
  TRY(auto metric, metric_from_wire(request.Namespace, request.MetricName, request.Dimensions));
  TRY(auto points, read(call, metric, request.Unit.value_or(""), request.StartTime, request.EndTime, request.Period));
  if (auto asked = (request.EndTime - request.StartTime) / Seconds(request.Period); asked > kMaxPoints)
    return error("InvalidParameterCombination", "You have requested up to {} datapoints, which exceeds the limit of {}. Use a longer Period or a shorter time.", asked, kMaxPoints);
  GetMetricStatisticsResponse response{.Label = request.MetricName};
  auto unit = request.Unit.value_or(call.platform.control->metrics().unit_of(call.scope, metric));
  for (const auto& point : points) {
    Datapoint out{.Timestamp = point.at, .Unit = unit};
    for (auto [name, member] : {std::pair{"SampleCount", &Datapoint::SampleCount}, {"Average", &Datapoint::Average}, {"Sum", &Datapoint::Sum},
                                {"Minimum", &Datapoint::Minimum}, {"Maximum", &Datapoint::Maximum}})
      if (std::ranges::count(request.Statistics, name)) out.*member = metrics::Statistic::parse(name)->of(point.summary);
    for (const auto& name : request.ExtendedStatistics) {
      TRY(auto wanted, statistic(name));
      if (auto value = wanted.of(point.summary)) out.ExtendedStatistics[name] = *value;
    }
    response.Datapoints.push_back(std::move(out));
  }
  return response;
}

Result<GetMetricDataResponse> get_metric_data(Call& call, const GetMetricDataRequest& request) {
  GetMetricDataResponse response;
  std::set<std::string> ids;
  std::size_t count = 0;
  for (const auto& query : request.MetricDataQueries) {
    if (!ids.insert(query.Id).second) return error("ValidationError", "The id {} is used twice.", query.Id);
    if (!query.MetricStat) return error("ValidationError", "{}: MetricStat is required; Watari has no metric math.", query.Id);
    const auto& stat = *query.MetricStat;
    TRY(auto metric, metric_from_wire(stat.Metric.Namespace.value_or(""), stat.Metric.MetricName.value_or(""), stat.Metric.Dimensions));
    TRY(auto wanted, statistic(stat.Stat));
    TRY(auto points, read(call, metric, stat.Unit.value_or(""), request.StartTime, request.EndTime, stat.Period));
    if (!query.ReturnData.value_or(true)) continue;
    MetricDataResult result{.Id = query.Id, .Label = query.Label.value_or(metric.name), .StatusCode = "Complete"};
    if (request.ScanBy.value_or("TimestampDescending") == "TimestampDescending") std::ranges::reverse(points);
    for (const auto& point : points) {
      auto value = wanted.of(point.summary);
      if (!value) continue;
      result.Timestamps.push_back(point.at);
      result.Values.push_back(*value);
    }
    count += result.Values.size();
    if (count > kMaxDataPoints) return error("ValidationError", "The answer would have more than {} datapoints; ask for less.", kMaxDataPoints);
    response.MetricDataResults.push_back(std::move(result));
  }
  return response;
}

Result<ListMetricsResponse> list_metrics(Call& call, const ListMetricsRequest& request) {
  auto since = request.RecentlyActive ? call.now - std::chrono::hours(3) : Time{};
  auto has = [&](const model::Metric& metric, const DimensionFilter& filter) {
    return std::ranges::any_of(metric.dimensions, [&](const auto& one) { return one.name == filter.Name && filter.Value.value_or(one.value) == one.value; });
  };
  std::vector<model::Metric> found;
  for (auto& metric : call.platform.control->metrics().list(call.scope, since)) {
    bool wanted = request.Namespace.value_or(metric.space) == metric.space && request.MetricName.value_or(metric.name) == metric.name &&
                  std::ranges::all_of(request.Dimensions, [&](const auto& filter) { return has(metric, filter); });
    if (wanted) found.push_back(std::move(metric));
  }
  auto key = [](const model::Metric& metric) {
    auto out = metric.space + '\n' + metric.name;
    for (const auto& dimension : metric.dimensions) out += '\n' + dimension.name + '\n' + dimension.value;
    return out;
  };
  std::ranges::sort(found, {}, key);
  TRY(auto page, paginate(call, std::move(found), request.NextToken, 500, key, kInvalid));
  ListMetricsResponse response{.NextToken = std::move(page.next_token)};
  for (const auto& metric : page.items)
    response.Metrics.push_back({.Namespace = metric.space, .MetricName = metric.name, .Dimensions = to_wire(metric.dimensions)});
  return response;
}

}  // namespace watari::aws::cloudwatch
