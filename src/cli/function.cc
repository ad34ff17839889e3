// watari function: what stands behind the names of functions that deployments call at their stages.
#include <CLI/CLI.hpp>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;

struct Options : Common {
  std::string name, url, task_definition;
};

Result<void> put(const Options& options) {
  TRY(auto client, options.connect());
  auto request = Json::object({{"name", options.name}});
  if (!options.url.empty()) request.set("url", options.url);
  if (!options.task_definition.empty()) request.set("taskDefinition", options.task_definition);
  TRY_VOID(client.call("watari", "PutFunction", request));
  if (options.json) fmt::print("{}\n", request.pretty());
  else fmt::print("{} stands for {}\n", options.name, options.url.empty() ? "the task definition " + options.task_definition : options.url);
  return {};
}

Result<void> list(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto answer, client.call("watari", "ListFunctions"));
  if (options.json) {
    fmt::print("{}\n", answer["functions"].pretty());
    return {};
  }
  std::vector<std::vector<std::string>> rows = {{"FUNCTION", "STANDS FOR", "CHANGED"}};
  for (const auto& function : answer["functions"].as_array()) {
    const auto& url = function["url"].as_string();
    rows.push_back({function["name"].as_string(), url.empty() ? "task definition " + function["taskDefinition"].as_string() : url,
                    ago(function["updatedAt"].as_double())});
  }
  if (rows.size() == 1) fmt::print("no functions; `watari function put NAME --url URL` makes one\n");
  else fmt::print("{}", table(rows));
  return {};
}

Result<void> remove(const Options& options) {
  TRY(auto client, options.connect());
  TRY_VOID(client.call("watari", "DeleteFunction", Json::object({{"name", options.name}})));
  if (options.json) fmt::print("{{\"removed\": \"{}\"}}\n", options.name);
  else fmt::print("{} is removed\n", options.name);
  return {};
}

}  // namespace

void add_function(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "function", "What deployments call at their stages by a function's name");
  verb->require_subcommand(1);
  verb->footer("Examples:\n  watari function put smoke-test --url http://127.0.0.1:9000/hook\n"
               "  watari function put migrate --task-definition migrate\n  watari function list\n"
               "A lifecycle hook or an AppSpec names it as `smoke-test` or as arn:aws:lambda:REGION:ACCOUNT:function:smoke-test.");
  auto put_verb = add_verb(*verb, "put", "Make a name known, or change what it stands for");
  put_verb->add_option("name", options->name, "Name of the function")->required();
  auto url = put_verb->add_option("--url", options->url, "http(s) URL that gets the event as a POST");
  put_verb->add_option("--task-definition", options->task_definition, "FAMILY or FAMILY:REVISION, run as one task; exit code 0 is success")
      ->excludes(url);
  auto list_verb = add_verb(*verb, "list", "The functions that are known");
  auto rm_verb = add_verb(*verb, "rm", "Forget a function");
  rm_verb->add_option("name", options->name, "Name of the function")->required();
  for (auto* each : {put_verb, list_verb, rm_verb}) add_common(*each, *options);
  put_verb->callback([options, &run] { run = [options] { return finish(put(*options)); }; });
  list_verb->footer("Example:\n  watari function list --json");
  list_verb->callback([options, &run] { run = [options] { return finish(list(*options)); }; });
  rm_verb->footer("Example:\n  watari function rm smoke-test");
  rm_verb->callback([options, &run] { run = [options] { return finish(remove(*options)); }; });
}

}  // namespace watari::cli
