#pragma once
// Which stages a build needs, what each starts from and waits for. Everything that can be refused before anything runs is refused here.
// Blocking only by the image store's look-ups.
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "builder/dockerfile.h"
#include "oci/image_store.h"

namespace watari::builder {

using Variables = std::map<std::string, std::string>;

// What a COPY --from or a mount's from= names: one of the three.
struct Origin {
  std::optional<std::size_t> stage;
  std::optional<oci::Image> image;
  std::filesystem::path directory;  // of a named context
};

// What a build may take from besides its own context (--build-context name=…): a directory that the client sent, or an image.
struct NamedContext {
  std::filesystem::path directory;
  std::string image;
};
using NamedContexts = std::map<std::string, NamedContext>;

struct PlannedStage {
  std::size_t index = 0;             // in the file
  std::string name;                  // for people
  std::optional<std::size_t> parent; // FROM another stage
  std::optional<oci::Image> base;    // FROM an image
  std::string base_name;             // its reference
  std::filesystem::path base_directory;  // FROM a named context that is a directory; none of the three is scratch
  Instruction from;
  std::vector<Instruction> instructions;  // the base's ONBUILD triggers first
  std::set<std::size_t> needs;            // stages that must be finished first
  std::map<std::string, Origin> origins;  // by the text of from=
  int first_step = 0;                     // number of its FROM
};

struct Plan {
  std::string file;
  char escape = '\\';
  std::vector<PlannedStage> stages;  // in the order of the file; only what the target needs
  std::size_t target = 0;            // index in the file
  Variables global;                  // ARGs before the first FROM, and the platform's
  Variables given;                   // --build-arg
  std::vector<std::string> notes;
  int steps = 0;
};

// NotFound for a target or base image that is not there; InvalidArgument with file:line for what cannot be built here.
Result<Plan> make_plan(const Dockerfile& dockerfile, const std::string& target, const Variables& build_args, const NamedContexts& contexts,
                       const oci::ImageStore& images);

// ARGs that need no declaration in a stage: the proxies. They are not part of a cache key.
bool is_predefined_arg(std::string_view name);
// TARGETPLATFORM and the like, which are known before the first FROM.
Variables platform_variables();

}  // namespace watari::builder
