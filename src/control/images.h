#pragma once
// Which images the state needs, so that pruning leaves them alone.
#include <string>
#include <vector>

#include "control/state.h"

namespace watari::control {

// References of images (digests, or as task definitions name them) that tasks run, that services deploy or may roll back to, and that active
// task definitions name. Sorted, each once. On the control loop.
std::vector<std::string> images_in_use(const State& state);

}  // namespace watari::control
