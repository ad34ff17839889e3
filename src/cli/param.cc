// watari param: configuration and secrets in the Parameter Store.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <iterator>

#include "base/strings.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace watari::cli {
namespace {

using codec::Json;

struct Options : Common {
  std::string name, file, path = "/";
  std::optional<std::string> value;
  std::vector<std::string> names;
  bool secure = false;
};

// Files and pipes end with a line break that nobody means.
std::string read_all(std::istream& in) {
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

Result<std::string> value_of(const Options& options) {
  if (options.value) return *options.value;
  if (!options.file.empty()) {
    std::ifstream in(options.file, std::ios::binary);
    if (!in) return fail(Code::NotFound, "cannot read {}", options.file);
    return read_all(in);
  }
  if (is_terminal_input()) fmt::print(stderr, "Value of {} (end with Ctrl-D): ", options.name);
  return read_all(std::cin);
}

Result<void> set(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto value, value_of(options));
  if (value.empty()) return fail(Code::InvalidArgument, "{}: the value is empty; a parameter has at least one character", options.name);
  TRY(auto answer, client.call("ssm", "PutParameter", Json::object({{"Name", options.name},
                                                                    {"Value", value},
                                                                    {"Type", options.secure ? "SecureString" : "String"},
                                                                    {"Overwrite", true}})));
  if (options.json) fmt::print("{}\n", answer.pretty());
  else fmt::print("{} is set (version {})\n", options.name, answer["Version"].as_int());
  return {};
}

Result<void> get(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto answer, client.call("ssm", "GetParameter", Json::object({{"Name", options.name}, {"WithDecryption", true}})));
  if (options.json) fmt::print("{}\n", answer["Parameter"].pretty());
  else fmt::print("{}\n", answer["Parameter"]["Value"].as_string());
  return {};
}

Result<void> list(const Options& options) {
  TRY(auto client, options.connect());
  TRY(auto found, client.call_all("ssm", "GetParametersByPath", Json::object({{"Path", options.path}, {"Recursive", true}}),
                                  "Parameters", "NextToken"));
  if (options.json) {
    auto out = Json::array();
    for (auto parameter : found.as_array()) {  // never the values: they are ciphertext here, or not meant for a list
      auto shown = Json::object();
      for (auto member : {"Name", "Type", "Version", "LastModifiedDate", "ARN"}) shown.set(member, parameter[member]);
      out.push(shown);
    }
    fmt::print("{}\n", out.pretty());
    return {};
  }
  std::vector<std::vector<std::string>> rows = {{"NAME", "TYPE", "VERSION", "CHANGED"}};
  for (const auto& parameter : found.as_array())
    rows.push_back({parameter["Name"].as_string(), parameter["Type"].as_string(), parameter["Version"].dump(),
                    ago(parameter["LastModifiedDate"].as_double())});
  if (rows.size() == 1) fmt::print("no parameters below {}; `watari param set NAME VALUE` makes one\n", options.path);
  else fmt::print("{}", table(rows));
  return {};
}

Result<void> remove(const Options& options) {
  TRY(auto client, options.connect());
  for (const auto& name : options.names) {
    TRY(auto answer, client.call("ssm", "DeleteParameter", Json::object({{"Name", name}})));
    if (!options.json) fmt::print("{} is removed\n", name);
  }
  if (options.json) fmt::print("{{\"removed\": {}}}\n", options.names.size());
  return {};
}

}  // namespace

void add_param(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  auto verb = add_verb(app, "param", "Configuration and secrets (Parameter Store)");
  verb->require_subcommand(1);
  verb->footer("Examples:\n  watari param set /reservations/staging/largest_party 12\n"
               "  printf %s \"$PASSWORD\" | watari param set /reservations/staging/db_password --secure\n"
               "  watari param set /app/tls_key --secure --file key.pem\n  watari param list /reservations");

  auto set_verb = add_verb(*verb, "set", "Write a parameter; the value comes from the argument, --file or stdin");
  set_verb->add_option("name", options->name, "For example /reservations/staging/database_url")->required();
  auto value = set_verb->add_option("value", options->value, "The value; other processes can see arguments, so prefer stdin for secrets");
  set_verb->add_option("--file", options->file, "Read the value from a file")->excludes(value);
  set_verb->add_flag("--secure", options->secure, "Encrypt it (SecureString)");
  add_common(*set_verb, *options);
  set_verb->footer("Examples:\n  watari param set /reservations/staging/largest_party 12\n  printf %s \"$PASSWORD\" | watari param set /reservations/staging/db_password --secure\n  watari param set /app/tls_key --secure --file key.pem");
  set_verb->callback([options, &run] { run = [options] { return finish(set(*options)); }; });

  auto get_verb = add_verb(*verb, "get", "Print a parameter's value, decrypted");
  get_verb->add_option("name", options->name, "For example /reservations/staging/largest_party")->required();
  add_common(*get_verb, *options);
  get_verb->footer("Example:\n  watari param get /reservations/staging/largest_party");
  get_verb->callback([options, &run] { run = [options] { return finish(get(*options)); }; });

  auto list_verb = add_verb(*verb, "list", "List parameters below a path, without values");
  list_verb->add_option("path", options->path, "Only those below it")->capture_default_str();
  add_common(*list_verb, *options);
  list_verb->footer("Examples:\n  watari param list /reservations\n  watari param list --json");
  list_verb->callback([options, &run] { run = [options] { return finish(list(*options)); }; });

  auto rm_verb = add_verb(*verb, "rm", "Remove parameters");
  rm_verb->add_option("names", options->names, "Which")->required();
  add_common(*rm_verb, *options);
  rm_verb->footer("Example:\n  watari param rm /reservations/staging/largest_party");
  rm_verb->callback([options, &run] { run = [options] { return finish(remove(*options)); }; });
}

}  // namespace watari::cli
