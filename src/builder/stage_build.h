#pragma once
// Builds one stage, instruction by instruction, on one thread, which gets its own_mounts() when something is mounted. The files of an instruction family: steps_files.cc
// (COPY, ADD, WORKDIR), steps_run.cc (RUN), steps_config.cc (everything that changes the configuration only).
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <semaphore>
#include <string>
#include <vector>

#include "builder/builder.h"
#include "builder/cache.h"
#include "builder/copy.h"
#include "builder/expand.h"
#include "builder/layers.h"
#include "builder/plan.h"
#include "builder/provenance.h"
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
  std::string author;
  std::string base;     // "NAME DIGEST" of what everything stands on, for explanations
  Variables variables;  // what words and commands see: ARG and ENV, whichever was set last
};

// What a RUN may use beyond its image. Values live in memory only.
struct BuildSecrets {
  std::map<std::string, std::string> values;  // by id
  std::map<std::string, std::string> agents;  // ssh agents: id to the socket's path on this host
  std::string docker_host, docker_config;
};

// What all stages of a build share. Owned by the executor, outlives its stages.
struct BuildShared {
  const Plan& plan;
  oci::ImageStore& images;
  StepCache& cache;
  const StopSignal& stop;
  BuildObserver& observer;
  const std::vector<Context>& contexts; // the client's files: the build context, then the named ones
  std::filesystem::path scratch;       // of this build; removed when it ends
  std::filesystem::path cache_mounts;  // of RUN --mount=type=cache
  const BuildSecrets& secrets;
  Materials& materials;                // what ADD fetches
  std::optional<std::int64_t> epoch;   // SOURCE_DATE_EPOCH: no file of a new layer is younger, and the image is of this time
  BuildGroup& group;                   // limits
  std::string name;                    // tells builds of different images apart in explanations
  std::string runtime = "crun";
  bool no_cache = false;
  std::counting_semaphore<>& slots;    // steps at once
  std::function<const StageState&(std::size_t index)> finished;  // a stage that this one needs
};

struct RemoveAtEnd {
  std::filesystem::path directory;
  ~RemoveAtEnd() {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }
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
  struct CopyPlan;  // of a COPY or ADD: its sources, and what tells them from others
  Result<void> find_copy_sources(const Instruction& instruction, std::vector<std::string> words, const std::filesystem::path& scratch,
                                 const std::filesystem::path& root, CopyPlan& plan);
  Result<void> add_remote(const Instruction& instruction, const std::string& url, const std::filesystem::path& scratch, CopyPlan& plan);
  Result<void> add_document(const Heredoc& document, const std::filesystem::path& scratch, CopyPlan& plan);
  Result<std::vector<Source>> unpacked(std::vector<Source> sources, const std::filesystem::path& scratch);
  Result<CopyOptions> copy_options(const Instruction& instruction, const std::filesystem::path& root, const std::string& destination);
  std::optional<EarlierLayer> earlier_layer(const Instruction& instruction);
  Result<std::optional<Owner>> linked_owner(const Instruction& instruction);

  Result<void> run_command(const Instruction& instruction);
  struct Mounts;  // of a RUN, ready to be bound
  Result<void> prepare_mounts(const std::vector<RunMount>& wanted, const std::filesystem::path& scratch, Mounts& mounts);
  void prepare_docker(Mounts& mounts);
  Result<void> prepare_bind(const RunMount& wanted, const std::filesystem::path& scratch, Mounts& mounts);
  Result<void> prepare_cache(const RunMount& wanted, Mounts& mounts);
  Result<void> prepare_secret(const RunMount& wanted, Mounts& mounts);
  Result<void> prepare_agent(const RunMount& wanted, Mounts& mounts);
  Result<void> mount_private(const std::filesystem::path& scratch, Mounts& mounts);
  Result<std::filesystem::path> origin_root(const std::string& from, std::list<MountedLayers>& views);
  std::vector<std::string> run_argv(const Instruction& instruction, const std::filesystem::path& scratch, std::vector<Bind>& binds);
  codec::Json run_inputs(const Instruction& instruction, const SandboxOptions& options, const Mounts& mounts);
  Result<void> run_in(const std::filesystem::path& root, SandboxOptions& options, const Mounts& mounts);
  Variables run_environment(bool for_key) const;

  // A step that makes a layer: from the cache, or by `make` on the mounted root, whose upper directory becomes the layer.
  struct LayerStep {
    const Instruction& instruction;
    codec::Json inputs;
    std::function<Result<void>(const std::filesystem::path& root, const std::filesystem::path& upper)> make;
    std::vector<std::string> directories, files;  // mount points that must leave no trace
    bool alone = false;                           // --link: the layer is made on nothing
    const LayerContents* contents = nullptr;      // of the layer's files, as far as `make` knows them
    bool beside = false;                          // `root` shows what is below only; `make` writes to `upper` itself
  };
  Result<void> layer_step(LayerStep step);
  std::optional<CachedStep> cached(const std::string& key);
  Result<CachedStep> make_layer(const LayerStep& step);
  void accept(const Instruction& instruction, const CachedStep& made);

  Result<std::vector<std::filesystem::path>> layer_directories(const std::vector<oci::Layer>& layers);
  // A read-only view of layers, below the build's scratch directory.
  Result<MountedLayers> view(const std::vector<oci::Layer>& layers);
  std::filesystem::path skeletons() const;  // MountedLayers::Options::skeletons of all builds
  std::filesystem::path new_scratch();  // a name for a directory, which whoever needs it makes
  const std::vector<oci::Layer>& layers_of(const Origin& origin);
  Result<void> take_directory(const std::filesystem::path& directory);  // FROM a named context
  void set_variable(const std::string& name, const std::string& value);  // as ENV does

  Lookup lookup() const;
  Result<std::string> expanded(const std::string& word) const { return expand_word(word, lookup(), shared_.plan.escape); }
  Result<std::string> flag_value(const Instruction& instruction, std::string_view name) const;
  std::string in_workdir(const std::string& path) const;
  std::string place_of(const RunMount& mount) const;  // its target as a clean path
  codec::Json inputs(std::string_view kind, bool alone = false) const;
  std::string slot_of(const Instruction& instruction) const;
  StepNote note_of(const Instruction& instruction) const;

  const BuildShared& shared_;
  const PlannedStage& stage_;
  StageState state_;
  bool cmd_set_ = false;
  StepStatus status_ = StepStatus::Done;  // of the running step
  std::string reason_;
  int number_ = 0;
};

}  // namespace watari::builder
