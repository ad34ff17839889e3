#include "builder/plan.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/nearest.h"
#include "base/strings.h"
#include "builder/expand.h"
#include "builder/run_mount.h"

namespace watari::builder {
namespace {

#if defined(__aarch64__)
constexpr std::string_view kArch = "arm64";
#else
constexpr std::string_view kArch = "amd64";
#endif

// "amd64", "linux" and "linux/x86_64" in full. Source: https://pkg.go.dev/github.com/containerd/platforms#Parse
std::string full_platform(const std::string& platform) {
  auto parts = split(to_lower(platform), '/');
  if (parts.size() == 1) parts = parts[0] == "linux" ? std::vector<std::string>{"linux", std::string(kArch)} : std::vector<std::string>{"linux", parts[0]};
  if (parts[1] == "x86_64" || parts[1] == "x86-64") parts[1] = "amd64";
  if (parts[1] == "aarch64") parts[1] = "arm64";
  return join(parts, "/");
}

class Planner {
 public:
  Planner(const Dockerfile& file, const Variables& given, const NamedContexts& contexts, const oci::ImageStore& images)
      : file_(file), contexts_(contexts), images_(images) {
    plan_.file = file.file;
    plan_.escape = file.escape;
    plan_.global = platform_variables();
    plan_.given = given;
    plan_.notes = file.notes;
  }

  Result<Plan> make(const std::string& target) {
    TRY(plan_.target, find_target(target));
    const auto& name = file_.stages[plan_.target].name;
    plan_.global["TARGETSTAGE"] = !target.empty() ? target : name.empty() ? "default" : name;
    TRY_VOID(read_global_args());
    TRY_VOID(need(plan_.target));
    for (auto& [index, stage] : needed_) {
      stage.first_step = plan_.steps + 1;
      plan_.steps += 1 + static_cast<int>(stage.instructions.size());
      plan_.stages.push_back(std::move(stage));
    }
    note_unused_args();
    return std::move(plan_);
  }

 private:
  Error error(const Instruction& at, std::string_view problem, Code code = Code::InvalidArgument) {
    return error_at(file_.file, at, problem, code);
  }
  Lookup lookup() {
    return [this](const std::string& name) -> std::optional<std::string> {
      auto found = plan_.global.find(name);
      return found == plan_.global.end() ? std::nullopt : std::optional(found->second);
    };
  }
  Result<std::string> expanded(const Instruction& at, const std::string& word) {
    return expand_word(word, lookup(), file_.escape).map_error([&](const Error& e) { return error(at, e.message); });
  }

  Result<void> read_global_args() {
    for (const auto& arg : file_.global_args) {
      for (const auto& [name, value] : pairs_of(arg)) {
        auto given = plan_.given.find(name);
        if (given != plan_.given.end()) {
          plan_.global[name] = given->second;
        } else if (value) {
          TRY(plan_.global[name], expanded(arg, *value));
        }
      }
    }
    return {};
  }

  Result<std::size_t> find_target(const std::string& target) {
    if (target.empty()) return file_.stages.size() - 1;
    for (std::size_t i = file_.stages.size(); i-- > 0;)
      if (file_.stages[i].name == to_lower(target)) return i;
    auto names = join(stage_names(), ", ");
    return fail(Code::NotFound, "{}: no stage named {}{}; its stages are {}", file_.file, target, did_you_mean(to_lower(target), stage_names()),
                names.empty() ? "without names" : names);
  }

  // A stage above `index` by its name (the last one of that name); by its number only where COPY --from allows it.
  std::optional<std::size_t> stage_above(std::size_t index, const std::string& name, bool numbers) {
    for (std::size_t i = index; i-- > 0;)
      if (file_.stages[i].name == to_lower(name) && !name.empty()) return i;
    auto number = numbers ? parse_number<std::size_t>(name) : std::nullopt;
    return number && *number < index ? number : std::nullopt;
  }

  std::vector<std::string> stage_names() const {
    std::vector<std::string> names;
    for (const auto& stage : file_.stages)
      if (!stage.name.empty()) names.push_back(stage.name);
    return names;
  }

  std::string hint(const std::string& reference) const {
    if (auto stage = did_you_mean(to_lower(reference), stage_names(), "the stage "); !stage.empty()) return stage;
    std::set<std::string> images;
    for (const auto& tagged : images_.tags()) images.insert(tagged.repository);
    return did_you_mean(reference.substr(0, reference.find_first_of(":@")), images);
  }

  Result<oci::Image> find_image(const Instruction& at, const std::string& reference) {
    return images_.resolve(reference).map_error([&](const Error& e) { return error(at, e.message + (e.code == Code::NotFound ? hint(reference) : ""), e.code); });
  }

  Result<void> need(std::size_t index) {
    if (needed_.contains(index)) return {};
    const Stage& source = file_.stages[index];
    PlannedStage stage;
    stage.index = index;
    stage.name = source.name.empty() ? std::to_string(index) : source.name;
    stage.from = source.from;
    TRY_VOID(check_platform(source));
    TRY_VOID(find_base(source, stage));
    std::ranges::copy(source.instructions, std::back_inserter(stage.instructions));
    for (const auto& instruction : stage.instructions) TRY_VOID(find_origins(instruction, stage));
    auto needs = stage.needs;
    needed_[index] = std::move(stage);
    for (auto other : needs) TRY_VOID(need(other));
    return {};
  }

  Result<void> check_platform(const Stage& stage) {
    TRY(auto platform, expanded(stage.from, stage.platform));
    auto ours = "linux/" + std::string(kArch), wanted = full_platform(platform);
    if (platform.empty() || wanted == ours || wanted.starts_with(ours + "/v")) return {};
    return fail(error(stage.from, fmt::format("platform {} cannot be built here; expected {}", platform, ours)));
  }

  Result<void> find_base(const Stage& source, PlannedStage& stage) {
    TRY(auto base, expanded(source.from, source.base));
    if (base.empty()) return fail(error(source.from, fmt::format("`{}` is empty; give its ARG a default, or --build-arg", source.base)));
    if (auto named = contexts_.find(to_lower(base)); named != contexts_.end()) {
      stage.base_directory = named->second.directory;
      if (!stage.base_directory.empty()) return {};
      return take_image(source, stage, named->second.image);
    }
    stage.parent = stage_above(stage.index, base, false);  // also one called scratch, as in BuildKit
    if (stage.parent) {
      stage.needs.insert(*stage.parent);
      for (const auto& each : file_.stages[*stage.parent].instructions)
        if (each.name == "ONBUILD") TRY_VOID(add_trigger(stage, each.text));
      return {};
    }
    if (base == "scratch") return {};
    return take_image(source, stage, base);
  }

  Result<void> take_image(const Stage& source, PlannedStage& stage, const std::string& reference) {
    TRY(auto image, find_image(source.from, reference));
    for (const auto& trigger : image.config.on_build) TRY_VOID(add_trigger(stage, trigger));
    stage.base = std::move(image);
    stage.base_name = reference;
    return {};
  }

  Result<void> add_trigger(PlannedStage& stage, const std::string& text) {
    TRY(auto trigger, parse_instruction(text, file_.file + " (ONBUILD)"));
    trigger.line = stage.from.line;
    stage.instructions.push_back(std::move(trigger));
    return {};
  }

  Result<void> find_origins(const Instruction& instruction, PlannedStage& stage) {
    std::vector<std::string> names;
    if (instruction.name == "COPY") {
      if (const Flag* from = instruction.flag("from")) names.push_back(from->value);
    } else if (instruction.name == "RUN") {
      TRY(names, mount_origins_of(instruction).map_error([&](const Error& e) { return error(instruction, e.message); }));
    }
    for (const auto& name : names) {
      if (name.empty() || name.contains('$'))
        return fail(error(instruction, fmt::format("`{}` is no stage; variables do not work here, name a stage with `FROM image AS name`", name)));
      TRY(auto origin, find_origin(instruction, stage.index, name));
      if (origin.stage) stage.needs.insert(*origin.stage);
      stage.origins[name] = std::move(origin);
    }
    return {};
  }

  Result<Origin> find_origin(const Instruction& at, std::size_t index, const std::string& name) {
    Origin origin;
    if (auto named = contexts_.find(to_lower(name)); named != contexts_.end()) {
      origin.directory = named->second.directory;
      if (!origin.directory.empty()) return origin;
      TRY(origin.image, find_image(at, named->second.image));
      return origin;
    }
    origin.stage = stage_above(index, name, true);
    if (origin.stage) return origin;
    if (name == "scratch") {
      origin.image.emplace();
    } else {
      TRY(origin.image, find_image(at, name));
    }
    return origin;
  }

  void note_unused_args() {
    auto declares = [](const std::vector<Instruction>& list, const std::string& name) {
      return std::ranges::any_of(list, [&](const Instruction& each) {
        if (each.name != "ARG") return false;
        auto pairs = pairs_of(each);
        return std::ranges::any_of(pairs, [&](const auto& pair) { return pair.first == name; });
      });
    };
    for (const auto& [name, value] : plan_.given) {
      bool used = is_predefined_arg(name) || name == "SOURCE_DATE_EPOCH" || declares(file_.global_args, name) ||
                  std::ranges::any_of(plan_.stages, [&](const PlannedStage& s) { return declares(s.instructions, name); });
      if (!used) plan_.notes.push_back(fmt::format("{}: no ARG takes the build argument {}", file_.file, name));
    }
  }

  const Dockerfile& file_;
  const NamedContexts& contexts_;
  const oci::ImageStore& images_;
  Plan plan_;
  std::map<std::size_t, PlannedStage> needed_;
};

}  // namespace

Variables platform_variables() {
  std::string arch(kArch);
  Variables all;
  for (std::string side : {"TARGET", "BUILD"}) {
    all[side + "PLATFORM"] = "linux/" + arch;
    all[side + "OS"] = "linux";
    all[side + "ARCH"] = arch;
    all[side + "VARIANT"] = all[side + "OSVERSION"] = "";
  }
  all["TARGETSTAGE"] = "default";  // the plan knows better
  return all;
}

bool is_predefined_arg(std::string_view name) {
  static constexpr std::array<std::string_view, 5> kNames{"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"};
  return std::ranges::find(kNames, to_lower(name)) != kNames.end();
}

Result<Plan> make_plan(const Dockerfile& dockerfile, const std::string& target, const Variables& build_args, const NamedContexts& contexts,
                       const oci::ImageStore& images) {
  return Planner(dockerfile, build_args, contexts, images).make(target);
}

}  // namespace watari::builder
