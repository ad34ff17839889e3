#pragma once
// The bounds of services' desired counts that Application Auto Scaling keeps. Thread: the control loop.
#include "control/control.h"

namespace watari::control {

// Raises desired counts to their target's minimum and, while no deployment is under way, lowers them to its maximum, unless that
// direction is suspended; each change is an activity of the target. Targets of services that are gone go too. Inside a transaction.
// Source: https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
void keep_capacity(Control& control);

}  // namespace watari::control
