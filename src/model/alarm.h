#pragma once
// An alarm as deployments see it: a name that is in a state since some time.
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html
#include <string>

#include "base/clock.h"
#include "base/fields.h"
#include "model/scope.h"

namespace watari::model {

struct Alarm {
  Scope scope;
  std::string name;
  std::string state = "INSUFFICIENT_DATA";  // OK | ALARM | INSUFFICIENT_DATA
  std::string reason;                       // why it is in that state
  Time state_since{};
  WATARI_FIELDS(Alarm, scope, name, state, reason, state_since)
};

}  // namespace watari::model
