#pragma once
// Options that many verbs share.
#include <optional>
#include <string>

#include "cli/client.h"

namespace CLI {
class App;
}

namespace watari::cli {

struct Common {
  std::optional<std::string> root;
  bool json = false;
  Result<Client> connect() const { return Client::connect(root); }
};

// As CLI11's add_subcommand. Called here alone, since it brings the whole of CLI11 along: a third of what each file of a verb cost to compile.
CLI::App* add_verb(CLI::App& app, const std::string& name, const std::string& description);

void add_common(CLI::App& verb, Common& common);  // --root, --json

}  // namespace watari::cli
