#pragma once
// What builds and yet is likely wrong in a Dockerfile: BuildKit's build checks, by their names. Pure.
// Source: https://docs.docker.com/reference/build-checks/
#include <string_view>
#include <vector>

#include "builder/builder.h"
#include "builder/dockerfile.h"
#include "builder/plan.h"

namespace watari::builder {

// Warnings in the order of lines, without those that `# check=skip=` names and with those on trial that `experimental=` names. `plan` (may be null) adds what base images tell: their
// variables. `ignored` is the text of .dockerignore.
Result<std::vector<Warning>> lint(const Dockerfile& file, const Plan* plan, std::string_view ignored);

// Whether a variable of this name likely holds a secret: one of the words between underscores says so.
// Source: BuildKit's SecretsUsedInArgOrEnv
bool looks_secret(std::string_view name);

}  // namespace watari::builder
