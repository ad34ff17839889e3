#include "builder/stage_build.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <map>

#include "base/digest.h"
#include "base/id.h"
#include "base/strings.h"

namespace watari::builder {

namespace fs = std::filesystem;
using codec::Json;

StageBuild::Step StageBuild::step_for(std::string_view name) {
  static const std::map<std::string_view, Step> kSteps{
      {"ARG", &StageBuild::arg},           {"ENV", &StageBuild::env},         {"LABEL", &StageBuild::label},
      {"EXPOSE", &StageBuild::expose},     {"VOLUME", &StageBuild::volume},   {"HEALTHCHECK", &StageBuild::health_check},
      {"USER", &StageBuild::one_word},     {"STOPSIGNAL", &StageBuild::one_word},
      {"CMD", &StageBuild::command},       {"ENTRYPOINT", &StageBuild::command}, {"SHELL", &StageBuild::command},
      {"ONBUILD", &StageBuild::note},      {"MAINTAINER", &StageBuild::note}, {"WORKDIR", &StageBuild::workdir},
      {"COPY", &StageBuild::copy},         {"ADD", &StageBuild::copy},        {"RUN", &StageBuild::run_command},
  };
  auto found = kSteps.find(name);
  return found == kSteps.end() ? nullptr : found->second;
}

Result<StageState> StageBuild::run() {
  TRY_VOID(own_mounts());
  shared_.observer.step_started(stage_.first_step);
  TRY_VOID(start());
  shared_.observer.step_ended(stage_.first_step, StepStatus::Done, stage_.base ? stage_.base->digest : "");
  int number = stage_.first_step;
  for (const auto& instruction : stage_.instructions) TRY_VOID(carry_out(++number, instruction));
  return std::move(state_);
}

Result<void> StageBuild::start() {
  if (stage_.parent) {
    state_ = shared_.finished(*stage_.parent);
  } else if (stage_.base) {
    state_.layers = stage_.base->layers;
    state_.config = stage_.base->config;
    state_.history = stage_.base->history;
    state_.created = stage_.base->created;
  } else {
    // What BuildKit gives images that begin from scratch.
    state_.config.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  }
  state_.config.on_build.clear();
  return {};
}

Result<void> StageBuild::carry_out(int number, const Instruction& instruction) {
  shared_.slots.acquire();
  number_ = number;
  status_ = StepStatus::Done;
  reason_.clear();
  shared_.observer.step_started(number);
  auto step = step_for(instruction.name);
  Result<void> done = shared_.stop.check();
  try {
    if (done) done = step ? (this->*step)(instruction) : fail(Code::InvalidArgument, "{} cannot be built", instruction.name);
  } catch (const fs::filesystem_error& e) {
    done = fail(Code::Internal, "{}", e.what());
  }
  shared_.slots.release();
  if (!done) {
    bool stopped = done.error().code == Code::Cancelled;
    shared_.observer.step_ended(number, stopped ? StepStatus::Cancelled : StepStatus::Failed, done.error().message);
    return fail(error_at(shared_.plan.file, instruction, done.error().message, done.error().code));
  }
  shared_.observer.step_ended(number, status_, reason_);
  return {};
}

Json StageBuild::inputs(std::string_view kind) const {
  std::string chain;
  for (const auto& layer : state_.layers) chain += layer.diff_id + "\n";
  // The version changes whenever a step comes to make something else of the same inputs.
  return Json::object({{"version", 2}, {"kind", Json(kind)}, {"below", Json(sha256_hex(chain))}});
}

std::string StageBuild::slot_of(const Instruction& instruction) const {
  return sha256_hex(fmt::format("{}\n{}\n{}\n{}", shared_.name, shared_.plan.file, stage_.name, instruction.source));
}

Result<void> StageBuild::layer_step(LayerStep step) {
  auto key = StepCache::key_of(step.inputs);
  auto slot = slot_of(step.instruction);
  if (!shared_.no_cache) {
    if (auto found = cached(key)) {
      status_ = StepStatus::Cached;
      reason_ = "same instruction, same layers below, same inputs";
      accept(step.instruction, *found);
      return {};
    }
  }
  reason_ = shared_.no_cache ? "the cache is not to be used" : shared_.cache.explain(step.inputs, slot);
  TRY(auto made, make_layer(step));
  TRY_VOID(shared_.cache.put(step.inputs, slot, made));
  accept(step.instruction, made);
  return {};
}

// A cache entry counts only while its layer is in the store.
std::optional<CachedStep> StageBuild::cached(const std::string& key) {
  auto found = shared_.cache.find(key);
  if (found && found->layer && !layer_directories({*found->layer})) return std::nullopt;
  return found;
}

namespace {

bool has_no_entry(const fs::path& directory) { return fs::directory_iterator(directory) == fs::directory_iterator(); }

struct RemoveAtEnd {
  fs::path directory;
  ~RemoveAtEnd() {
    std::error_code ignored;
    fs::remove_all(directory, ignored);
  }
};

std::string now_rfc3339() { return iso8601(SystemClock().now()); }

}  // namespace

Result<CachedStep> StageBuild::make_layer(const LayerStep& step) {
  TRY(auto directory, shared_.images.scratch_directory());
  RemoveAtEnd remove{directory};
  auto upper = directory / "upper", work = directory / "work";
  for (const auto& each : {upper, work}) {
    fs::create_directory(each);
    fs::permissions(each, fs::perms(0755));
  }
  TRY(auto lower, layer_directories(state_.layers));
  {
    TRY(auto mounted, MountedLayers::mount({.lower = lower, .scratch = new_scratch(), .upper = upper, .work = work,
                                            .directories = step.directories, .files = step.files}));
    TRY_VOID(step.make(mounted.root()));
  }
  CachedStep made;
  made.created = now_rfc3339();
  if (has_no_entry(upper)) return made;
  TRY(made.layer, shared_.images.add_layer(upper));
  return made;
}

void StageBuild::accept(const Instruction& instruction, const CachedStep& made) {
  if (made.layer) state_.layers.push_back(*made.layer);
  state_.created = std::max(state_.created, made.created);
  state_.history.push_back({instruction.source, "", !made.layer});
}

Result<std::vector<fs::path>> StageBuild::layer_directories(const std::vector<oci::Layer>& layers) {
  if (layers.empty()) return std::vector<fs::path>{};
  oci::Image image;
  image.layers = layers;
  return shared_.images.layer_directories(image);
}

fs::path StageBuild::new_scratch() {
  auto directory = shared_.scratch / random_hex(8);
  fs::create_directories(directory);
  return directory;
}

Result<MountedLayers> StageBuild::view(const std::vector<oci::Layer>& layers) {
  TRY(auto lower, layer_directories(layers));
  return MountedLayers::mount({.lower = lower, .scratch = new_scratch()});
}

const std::vector<oci::Layer>& StageBuild::layers_of(const Origin& origin) {
  return origin.stage ? shared_.finished(*origin.stage).layers : origin.image->layers;
}

Lookup StageBuild::lookup() const {
  return [this](const std::string& name) -> std::optional<std::string> {
    for (const auto& pair : state_.config.env)
      if (pair.starts_with(name + "=")) return pair.substr(name.size() + 1);
    auto found = state_.args.find(name);
    return found == state_.args.end() ? std::nullopt : std::optional(found->second);
  };
}

Result<std::string> StageBuild::flag_value(const Instruction& instruction, std::string_view name) const {
  const Flag* flag = instruction.flag(name);
  return flag ? expanded(flag->value) : Result<std::string>(std::string());
}

std::string StageBuild::in_workdir(const std::string& path) const {
  if (path.starts_with('/')) return path;
  auto base = state_.config.working_dir.empty() ? "/" : state_.config.working_dir;
  return base + (base.ends_with('/') ? "" : "/") + path;
}

}  // namespace watari::builder
