#pragma once
// From a task's row to what the engine runs: overrides applied, secrets read, images pinned, logs placed.
#include <filesystem>

#include "control/control.h"

namespace watari::control {

// Where the shim writes this container's output: ROOT/logs/<account>/<region>/<group>/<stream>, the last two percent-encoded.
std::filesystem::path log_directory(const std::filesystem::path& root, const model::Task& task,
                                    const model::ContainerDefinition& container);

// What a task of this definition reserves: CPU units (1024: one core) and MiB; 0 when it says nothing.
struct Reservation {
  std::int64_t cpu_units = 0, memory_mib = 0;
};
Reservation reserved_by(const model::TaskDefinition& definition);

// ResourceInitializationError in words when a secret cannot be read.
Result<engine::TaskSpec> make_spec(Control& control, const Ports& ports, const model::Task& task);

}  // namespace watari::control
