#pragma once
// The verbs of the command line that are clients of the API. One verb a file; each adds itself here.
#include <functional>

namespace CLI {
class App;
}

namespace watari::cli {

// What the command line asks for; set by the chosen verb, called after parsing. Returns the exit code.
using Run = std::function<int()>;

void add_verbs(CLI::App& app, Run& run);  // all of them, in the order of --help

void add_up(CLI::App& app, Run& run);
void add_down(CLI::App& app, Run& run);
void add_volumes(CLI::App& app, Run& run);
void add_deploy(CLI::App& app, Run& run);
void add_rollback(CLI::App& app, Run& run);
void add_deployments(CLI::App& app, Run& run);
void add_build(CLI::App& app, Run& run);
void add_base(CLI::App& app, Run& run);
void add_exec(CLI::App& app, Run& run);
void add_images(CLI::App& app, Run& run);
void add_image_transfers(CLI::App& images, Run& run);  // below the verb images
void add_status(CLI::App& app, Run& run);
void add_logs(CLI::App& app, Run& run);
void add_function(CLI::App& app, Run& run);
void add_param(CLI::App& app, Run& run);
void add_env(CLI::App& app, Run& run);

}  // namespace watari::cli
