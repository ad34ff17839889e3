#pragma once
// Builds one stage, instruction by instruction, on one thread that has own_mounts(). The files of an instruction family: steps_files.cc
// (COPY, ADD, WORKDIR), steps_run.cc (RUN), steps_config.cc (everything that changes the configuration only).
#include <functional>
#include <semaphore>
#include <string>
#include <vector>

#include "builder/builder.h"
#include "builder/cache.h"
#include "builder/copy.h"
#include "builder/expand.h"
#include "builder/layers.h"
#include "builder/plan.h"
#include "builder/run_mount.h"
#include "builder/sandbox.h"
#include "builder/stop_signal.h"

namespace watari::builder {

// Told about every step; called from several stage threads.
class BuildObserver {
 public:
  virtual ~BuildObserver() = default;
  virtual void step_started(int step) = 0;
  virtual void step_ended(int step, StepStatus status, std::string reason) = 0;
  virtual void line(int step, std::string_view text) = 0;
};

// What a stage has come to.
struct StageState {
  std::vector<oci::Layer> layers;
  oci::ImageConfig config;
  std::vector<oci::HistoryEntry> history;
  std::string created;  // of the newest layer: the same steps give the same image
  Variables args;       // declared ARGs that have a value
};

// What all stages of a build share. Owned by the executor, outlives its stages.
struct BuildShared {
  const Plan& plan;
  oci::ImageStore& images;
  StepCache& cache;
  const StopSignal& stop;
  BuildObserver& observer;
  std::filesystem::path context;       // the unpacked files of the client
  std::filesystem::path scratch;       // of this build; removed when it ends
  std::filesystem::path cache_mounts;  // of RUN --mount=type=cache
  std::string name;                    // tells builds of different images apart in explanations
  std::string runtime = "crun";
  Millis step_timeout{3'600'000};
  bool no_cache = false;
  std::counting_semaphore<>& slots;    // steps at once
  std::function<const StageState&(std::size_t index)> finished;  // a stage that this one needs
};

class StageBuild {
 public:
  StageBuild(const BuildShared& shared, const PlannedStage& stage) : shared_(shared), stage_(stage) {}
  // Errors name file:line and quote the instruction.
  Result<StageState> run();

 private:
  using Step = Result<void> (StageBuild::*)(const Instruction&);
  static Step step_for(std::string_view name);
  Result<void> start();
  Result<void> carry_out(int number, const Instruction& instruction);

  Result<void> config_step(const Instruction& instruction);
  Result<void> arg(const Instruction& instruction);
  Result<void> env(const Instruction& instruction);
  Result<void> label(const Instruction& instruction);
  Result<void> expose(const Instruction& instruction);
  Result<void> volume(const Instruction& instruction);
  Result<void> health_check(const Instruction& instruction);
  Result<void> one_word(const Instruction& instruction);  // USER, STOPSIGNAL
  Result<void> command(const Instruction& instruction);   // CMD, ENTRYPOINT, SHELL
  Result<void> note(const Instruction& instruction);      // ONBUILD, MAINTAINER

  Result<void> workdir(const Instruction& instruction);
  Result<void> copy(const Instruction& instruction);
  Result<std::vector<Source>> sources_of(const Instruction& instruction, std::vector<std::string> words, const std::filesystem::path& scratch,
                                         const std::filesystem::path& root);
  Result<std::vector<Source>> unpacked(std::vector<Source> sources, const std::filesystem::path& scratch);
  Result<CopyOptions> copy_options(const Instruction& instruction, const std::filesystem::path& root, const std::string& destination);

  Result<void> run_command(const Instruction& instruction);
  struct Mounts;  // of a RUN, ready to be bound
  Result<void> prepare_mounts(const std::vector<RunMount>& wanted, const std::filesystem::path& scratch, Mounts& mounts);
  Result<void> prepare_bind(const RunMount& wanted, const std::filesystem::path& scratch, Mounts& mounts);
  std::vector<std::string> run_argv(const Instruction& instruction, const std::filesystem::path& scratch, std::vector<Bind>& binds);
  Variables run_environment(bool for_key) const;

  // A step that makes a layer: from the cache, or by `make` on the mounted root.
  struct LayerStep {
    const Instruction& instruction;
    codec::Json inputs;
    std::function<Result<void>(const std::filesystem::path& root)> make;
    std::vector<std::string> directories, files;  // mount points that must leave no trace
  };
  Result<void> layer_step(LayerStep step);
  std::optional<CachedStep> cached(const std::string& key);
  Result<CachedStep> make_layer(const LayerStep& step);
  void accept(const Instruction& instruction, const CachedStep& made);

  Result<std::vector<std::filesystem::path>> layer_directories(const std::vector<oci::Layer>& layers);
  // A read-only view of layers, below the build's scratch directory.
  Result<MountedLayers> view(const std::vector<oci::Layer>& layers);
  std::filesystem::path new_scratch();
  const std::vector<oci::Layer>& layers_of(const Origin& origin);

  Lookup lookup() const;
  Result<std::string> expanded(const std::string& word) const { return expand_word(word, lookup(), shared_.plan.escape); }
  Result<std::string> flag_value(const Instruction& instruction, std::string_view name) const;
  std::string in_workdir(const std::string& path) const;
  codec::Json inputs(std::string_view kind) const;
  std::string slot_of(const Instruction& instruction) const;

  const BuildShared& shared_;
  const PlannedStage& stage_;
  StageState state_;
  bool cmd_set_ = false;
  StepStatus status_ = StepStatus::Done;  // of the running step
  std::string reason_;
  int number_ = 0;
};

}  // namespace watari::builder
