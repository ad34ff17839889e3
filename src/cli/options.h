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

void add_common(CLI::App& verb, Common& common);  // --root, --json

}  // namespace watari::cli
