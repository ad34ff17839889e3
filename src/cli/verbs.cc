#include "cli/verbs.h"

namespace watari::cli {

void add_verbs(CLI::App& app, Run& run) {
  add_up(app, run);
  add_down(app, run);
  add_deploy(app, run);
  add_rollback(app, run);
  add_deployments(app, run);
  add_build(app, run);
  add_base(app, run);
  add_exec(app, run);
  add_images(app, run);
  add_volumes(app, run);
  add_status(app, run);
  add_logs(app, run);
  add_param(app, run);
  add_function(app, run);
  add_env(app, run);
}

}  // namespace watari::cli
