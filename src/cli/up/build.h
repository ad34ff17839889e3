#pragma once
// Pass: builds the images of an application on the server, all at once.
#include <map>
#include <string>

#include "cli/client.h"
#include "cli/up/app.h"
#include "cli/up/progress.h"

namespace watari::cli::up {

// Name of an image -> what a task definition says for it: "shop/web@sha256:…". FailedPrecondition, with the step and the end of its
// output, when one cannot be built.
using Built = std::map<std::string, std::string>;
Result<Built> build_images(Client& client, const App& app, Progress& progress);

}  // namespace watari::cli::up
