#pragma once
// Pass: task definitions, from the file and the digests of the built images. The same input never makes a second revision.
#include <string>

#include "cli/client.h"
#include "cli/up/app.h"
#include "cli/up/build.h"

namespace watari::cli::up {

// The request of RegisterTaskDefinition. Pure.
codec::Json task_definition(const App& app, const Service& service, const Built& images, const std::string& region);
// Of the one-shot task that runs before a revision: one container of it, alone, with another command.
codec::Json before_definition(const App& app, const Service& service, const Built& images, const std::string& region);

struct Registered {
  std::string arn;
  bool is_new = false;
};
// Finds the newest revision of the family when it was made from the same request, or registers a new one.
Result<Registered> register_definition(Client& client, codec::Json request);

std::string volume_name(const App& app, const std::string& volume);
std::string log_group(const App& app, const std::string& service);

}  // namespace watari::cli::up
