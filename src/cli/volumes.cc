// watari volumes: the data that outlives tasks, and erasing it.
#include <CLI/CLI.hpp>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;

struct Options : Common {
  std::vector<std::string> names;
};

Result<void> list(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto answer, client.call("watari", "ListVolumes"));
  if (options.json) {
    fmt::print("{}\n", answer["volumes"].pretty());
    return {};
  }
  std::vector<std::vector<std::string>> rows = {{"VOLUME", "MiB", "TASKS"}};
  for (const auto& volume : answer["volumes"].as_array())
    rows.push_back({volume["name"].as_string(), fmt::format("{:.1f}", volume["sizeBytes"].as_double() / (1 << 20)), std::to_string(volume["tasks"].as_array().size())});
  if (rows.size() == 1) fmt::print("no volumes\n");
  else fmt::print("{}", table(rows));
  return {};
}

Result<void> remove(const Options& options) {
  TRY(auto client, options.connect());
  auto removed = Json::array();
  for (const auto& name : options.names) {
    TRY_VOID(client.call("watari", "DeleteVolume", Json::object({{"name", name}})));
    if (!options.json) fmt::print("{} is erased\n", name);
    removed.push(name);
  }
  if (options.json) fmt::print("{}\n", Json::object({{"removed", removed}}).pretty());
  return {};
}

}  // namespace

void add_volumes(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "volumes", "Shared volumes: data that outlives tasks");
  add_common(*verb, *options);
  verb->footer("Examples:\n  watari volumes\n  watari volumes rm shop-staging-data");
  verb->callback([options, verb, &run] {
    if (verb->get_subcommands().empty()) run = [options] { return finish(list(*options)); };
  });
  auto rm = add_verb(*verb, "rm", "Erase volumes with all that they hold; refused while a task uses them");
  rm->add_option("names", options->names, "Which")->required();
  add_common(*rm, *options);
  rm->footer("Example:\n  watari volumes rm shop-staging-data");
  rm->callback([options, &run] { run = [options] { return finish(remove(*options)); }; });
}

}  // namespace watari::cli
