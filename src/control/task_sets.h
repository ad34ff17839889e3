#pragma once
// Commands on task sets: services with the deployment controller EXTERNAL. Thread: the control loop.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-external.html
#include <string>

#include "control/control.h"

namespace watari::control {

// `set.revision` is what it is to run (without id). The same client token again gives the task set of that time.
// NotFound, FailedPrecondition as update_service(); InvalidParameterException when the service's controller is another.
Result<model::TaskSet> create_task_set(Control& control, const std::string& service_key, model::TaskSet set);

// These three: TaskSetNotFoundException when there is none with this id, or it was deleted.
Result<model::TaskSet> scale_task_set(Control& control, const std::string& service_key, const std::string& id, double percent);
// The service shows what the primary one runs; the one before becomes ACTIVE.
Result<model::TaskSet> make_primary(Control& control, const std::string& service_key, const std::string& id);
// Its tasks leave in order, then it is gone. InvalidParameterException when it is scaled above 0 and not `force`.
Result<model::TaskSet> delete_task_set(Control& control, const std::string& service_key, const std::string& id, bool force);

}  // namespace watari::control
