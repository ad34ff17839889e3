#include "builder/stage_build.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/digest.h"
#include "base/id.h"
#include "base/strings.h"

namespace watari::builder {

namespace fs = std::filesystem;
using codec::Json;

namespace {
// Source: moby/buildkit util/system/path.go
constexpr std::string_view kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}  // namespace

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
  shared_.observer.step_started(stage_.first_step);
  TRY_VOID(start());
  auto from = stage_.base ? stage_.base->digest : stage_.parent ? "the stage as it was built" : stage_.base_directory.empty() ? "nothing" : "a context's files";
  shared_.observer.step_ended(stage_.first_step, StepStatus::Done, from);
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
    state_.author = stage_.base->author;
    state_.base = (stage_.from.words.empty() ? "FROM" : stage_.from.words[0]) + " " + stage_.base->digest;
    for (const auto& pair : state_.config.env) {
      auto equals = std::min(pair.find('='), pair.size());
      state_.variables[pair.substr(0, equals)] = pair.substr(std::min(equals + 1, pair.size()));
    }
  } else if (!stage_.base_directory.empty()) {
    TRY_VOID(take_directory(stage_.base_directory));
  } else {
    state_.config.working_dir = "/";
  }
  // BuildKit gives a PATH to every image that has none.
  if (std::ranges::none_of(state_.config.env, [](const auto& pair) { return pair.starts_with("PATH="); })) set_variable("PATH", std::string(kDefaultPath));
  state_.config.on_build.clear();
  return {};
}

// A directory as the only layer below.
Result<void> StageBuild::take_directory(const fs::path& directory) {
  TRY(auto scratch, shared_.images.scratch_directory());
  TRY_VOID(copy_sources({Source{directory, "", true}}, {scratch, scratch}, {.destination = "/"}, shared_.stop));
  TRY(auto layer, shared_.images.add_layer(scratch));
  state_.layers = {layer};
  state_.history = {{"FROM " + stage_.from.words[0], "", false, ""}};
  return {};
}

void StageBuild::set_variable(const std::string& name, const std::string& value) {
  auto& env = state_.config.env;
  auto found = std::ranges::find_if(env, [&](const std::string& pair) { return pair.starts_with(name + "="); });
  if (found == env.end()) env.push_back(name + "=" + value);
  else *found = name + "=" + value;
  state_.variables[name] = value;
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

Json StageBuild::inputs(std::string_view kind, bool alone) const {
  std::string chain;
  for (const auto& layer : state_.layers) chain += layer.diff_id + "\n";
  // The version changes whenever a step comes to make something else of the same inputs.
  auto in = Json::object({{"version", 4}, {"kind", Json(kind)}, {"below", Json(alone ? "nothing" : sha256_hex(chain))}});
  if (shared_.epoch) in.set("epoch", Json(*shared_.epoch));
  return in;
}

std::string StageBuild::slot_of(const Instruction& instruction) const {
  return sha256_hex(fmt::format("{}\n{}\n{}\n{}", shared_.name, shared_.plan.file, stage_.name, instruction.source));
}

StepNote StageBuild::note_of(const Instruction& instruction) const {
  StepNote note{.slot = slot_of(instruction), .place = sha256_hex(fmt::format("{}\n{}\n{}\n@{}", shared_.name, shared_.plan.file, stage_.name, number_ - stage_.first_step)),
                .instruction = instruction.source, .below = Json::array({Json(state_.base)})};
  std::size_t layer = 0;
  for (const auto& entry : state_.history)
    if (!entry.empty_layer && layer < state_.layers.size()) note.below.push(Json(state_.layers[layer++].diff_id + " " + entry.created_by));
  return note;
}

Result<void> StageBuild::layer_step(LayerStep step) {
  auto key = StepCache::key_of(step.inputs);
  auto note = note_of(step.instruction);
  bool pruned = false;
  if (!shared_.no_cache) {
    pruned = shared_.cache.find(key).has_value();
    if (auto found = pruned ? cached(key) : std::nullopt) {
      status_ = StepStatus::Cached;
      reason_ = "same instruction, same layers below, same inputs";
      accept(step.instruction, *found);
      return {};
    }
  }
  reason_ = shared_.no_cache ? "the cache is not to be used"
            : pruned         ? "pruned: its layer is not in the store any more"
                             : shared_.cache.explain(step.inputs, note);
  TRY(auto made, make_layer(step));
  TRY_VOID(shared_.cache.put(step.inputs, note, made, step.contents ? *step.contents : LayerContents()));
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

// No file stays younger than `epoch`. Source: https://reproducible-builds.org/specs/source-date-epoch/
void clamp_times(const fs::path& directory, std::int64_t epoch) {
  std::vector<fs::path> all{directory};
  for (fs::recursive_directory_iterator it(directory), end; it != end; ++it) all.push_back(it->path());
  for (const auto& path : all) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0 || info.st_mtime <= epoch) continue;
    std::array<timespec, 2> times{timespec{epoch, 0}, timespec{epoch, 0}};
    ::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
  }
}

std::string now_rfc3339() { return iso8601(SystemClock().now()); }

}  // namespace

Result<CachedStep> StageBuild::make_layer(const LayerStep& step) {
  TRY(auto directory, shared_.images.scratch_directory());
  RemoveAtEnd remove{directory};
  auto upper = directory / "upper", work = directory / "work";
  for (const auto& each : {upper, work}) {
    if (step.beside && each == work) continue;
    fs::create_directory(each);
    fs::permissions(each, fs::perms(0755));
  }
  std::vector<fs::path> lower;
  if (!step.alone) {
    TRY(lower, layer_directories(state_.layers));
  }
  {
    MountedLayers::Options options{.lower = lower, .scratch = new_scratch(), .skeletons = skeletons(), .directories = step.directories, .files = step.files};
    if (!step.beside) options.upper = upper, options.work = work;
    TRY(auto mounted, MountedLayers::mount(options));
    TRY_VOID(step.make(mounted.root(), upper));
  }
  CachedStep made;
  made.created = shared_.epoch ? iso8601(Time(Seconds(*shared_.epoch))) : now_rfc3339();
  if (has_no_entry(upper)) return made;
  if (shared_.epoch) clamp_times(upper, *shared_.epoch);
  TRY(made.layer, shared_.images.add_layer(upper));
  return made;
}

void StageBuild::accept(const Instruction& instruction, const CachedStep& made) {
  if (made.layer) state_.layers.push_back(*made.layer);
  state_.created = std::max(state_.created, made.created);
  state_.history.push_back({instruction.source, "", !made.layer, made.created});
}

Result<std::vector<fs::path>> StageBuild::layer_directories(const std::vector<oci::Layer>& layers) {
  if (layers.empty()) return std::vector<fs::path>{};
  oci::Image image;
  image.layers = layers;
  return shared_.images.layer_directories(image);
}

// ROOT/builds/skeletons: beside the directories of all builds.
fs::path StageBuild::skeletons() const { return shared_.scratch.parent_path().parent_path() / "skeletons"; }

fs::path StageBuild::new_scratch() {
  return shared_.scratch / random_hex(8);
}

Result<MountedLayers> StageBuild::view(const std::vector<oci::Layer>& layers) {
  TRY(auto lower, layer_directories(layers));
  return MountedLayers::mount({.lower = lower, .scratch = new_scratch(), .skeletons = skeletons()});
}

const std::vector<oci::Layer>& StageBuild::layers_of(const Origin& origin) {
  return origin.stage ? shared_.finished(*origin.stage).layers : origin.image->layers;
}

Lookup StageBuild::lookup() const {
  return [this](const std::string& name) -> std::optional<std::string> {
    auto found = state_.variables.find(name);
    return found == state_.variables.end() ? std::nullopt : std::optional(found->second);
  };
}

// The files of a from=, mounted in `views` when they are layers; the context without one.
Result<fs::path> StageBuild::origin_root(const std::string& from, std::list<MountedLayers>& views) {
  if (from.empty()) return shared_.contexts.at(0).files;
  const auto& origin = stage_.origins.at(from);
  if (!origin.directory.empty()) return origin.directory;
  auto mounted = view(layers_of(origin));
  if (!mounted) return fail(mounted.error());
  views.push_back(std::move(*mounted));
  return views.back().root();
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
