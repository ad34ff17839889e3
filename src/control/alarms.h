#pragma once
// Commands on alarms, and the one way in which their states change. Thread: the control loop.
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/
#include <string>
#include <vector>

#include "control/control.h"

namespace watari::control {

std::string alarm_history_prefix(const model::Scope& scope, const std::string& alarm);  // keys begin with it, oldest first

// Makes the alarm or gives the one of that name these settings; state and tags of one that exists stay.
// LimitExceededFault above 5,000 alarms of a scope.
Result<void> put_alarm(Control& control, model::Alarm alarm);
// All or none: NotFound (ResourceNotFound) when one does not exist. Their history stays.
Result<void> delete_alarms(Control& control, const model::Scope& scope, const std::vector<std::string>& names);
// By hand; the next evaluation may change it again. NotFound (ResourceNotFound).
Result<void> set_alarm_state(Control& control, const model::Scope& scope, const std::string& name, const std::string& state,
                             const std::string& reason, const std::string& reason_data);
// Names that do not exist are passed over, as AWS does.
Result<void> enable_alarm_actions(Control& control, const model::Scope& scope, const std::vector<std::string>& names, bool enabled);

// Writes the state, a line of history, and whom to tell. Inside a transaction.
void change_alarm_state(Control& control, const std::string& key, const std::string& state, const std::string& reason,
                        const std::string& reason_data);
// An action that was tried: `failure` is empty when it was told. It is tried again some times. Inside a transaction.
void finish_alarm_call(Control& control, const std::string& key, const std::string& call, const std::string& failure);
// Drops history older than a month. Inside a transaction.
void sweep_alarm_history(Control& control);

}  // namespace watari::control
