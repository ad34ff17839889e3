#include "cli/options.h"

#include <CLI/CLI.hpp>

namespace watari::cli {

CLI::App* add_verb(CLI::App& app, const std::string& name, const std::string& description) { return app.add_subcommand(name, description); }

void add_common(CLI::App& verb, Common& common) {
  verb.add_option("--root", common.root,
                  "Root directory of the server (default: AWS_ENDPOINT_URL when set, else WATARI_ROOT or /var/lib/watari)");
  verb.add_flag("--json", common.json, "Print JSON for programs");
}

}  // namespace watari::cli
