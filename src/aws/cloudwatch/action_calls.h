#pragma once
// Alarm actions behind a URL: the event that AWS would invoke the Lambda function with.
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
#include <atomic>
#include <string>

#include "model/alarm.h"

namespace watari::aws::cloudwatch {

std::string action_event(const model::Alarm& alarm, const model::AlarmCall& call);

// Posts it; any 2xx has heard it. Returns what went wrong, or nothing. Blocks; gives up when `cancelled` turns true.
std::string call_action(const model::Alarm& alarm, const model::AlarmCall& call, const std::string& url, const std::atomic<bool>& cancelled);

}  // namespace watari::aws::cloudwatch
