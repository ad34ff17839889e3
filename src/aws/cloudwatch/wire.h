#pragma once
// Between CloudWatch's shapes and the domain. Thread: the control loop.
#include <optional>
#include <string>
#include <vector>

#include "aws/call.h"
#include "aws/tags.h"
#include "aws/gen/cloudwatch/shape/Dimension.h"
#include "control/control.h"
#include "model/alarm.h"

namespace watari::aws::cloudwatch {

inline control::State& state(Call& call) { return call.platform.control->state(); }

std::string alarm_arn(const model::Scope& scope, const std::string& name);

// Dimensions sorted by name. ValidationError when a name comes twice.
Result<model::Metric> metric_from_wire(const std::string& space, const std::string& name, const std::vector<Dimension>& dimensions);
std::vector<Dimension> to_wire(const std::vector<model::Dimension>& dimensions);

// 1, 5, 10, 20, 30 or a multiple of 60.
Result<void> check_period(int period, bool of_alarm);

inline std::optional<std::string> text(const std::string& value) { return value.empty() ? std::nullopt : std::optional(value); }

}  // namespace watari::aws::cloudwatch
