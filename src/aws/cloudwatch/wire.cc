#include "aws/cloudwatch/wire.h"

#include <algorithm>

namespace watari::aws::cloudwatch {

std::string alarm_arn(const model::Scope& scope, const std::string& name) {
  return fmt::format("arn:aws:cloudwatch:{}:{}:alarm:{}", scope.region, scope.account, name);
}

Result<model::Metric> metric_from_wire(const std::string& space, const std::string& name, const std::vector<Dimension>& dimensions) {
  model::Metric out{.space = space, .name = name};
  for (const auto& dimension : dimensions) out.dimensions.push_back({dimension.Name, dimension.Value});
  std::ranges::sort(out.dimensions);
  auto twice = std::ranges::adjacent_find(out.dimensions, {}, &model::Dimension::name);
  if (twice != out.dimensions.end()) return error("InvalidParameterValue", "The dimension {} is given twice.", twice->name);
  return out;
}

std::vector<Dimension> to_wire(const std::vector<model::Dimension>& dimensions) {
  std::vector<Dimension> out;
  for (const auto& dimension : dimensions) out.push_back({dimension.name, dimension.value});
  return out;
}

Result<void> check_period(int period, bool of_alarm) {
  bool fine = period == 10 || period == 20 || period == 30 || (period > 0 && period % 60 == 0) || (!of_alarm && (period == 1 || period == 5));
  if (fine) return {};
  return error(of_alarm ? "ValidationError" : "InvalidParameterValue", "The period must be {}10, 20, 30 or a multiple of 60; it is {}.",
               of_alarm ? "" : "1, 5, ", period);
}

}  // namespace watari::aws::cloudwatch
