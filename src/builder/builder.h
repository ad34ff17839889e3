#pragma once
// Builds: images from Dockerfiles and base images from Debian packages, into the one image store.
//
// A Builder owns ROOT/builds (contexts, one directory a build) and the cache of steps (ROOT/images/cache). Every build has a
// thread of its own with a private mount namespace, so nothing is mounted any more when the process is gone. Thread-safe.
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "base/result.h"
#include "builder/cache_mounts.h"
#include "builder/limits.h"
#include "oci/image_store.h"

namespace watari::builder {

struct BuildRequest {
  std::string context_id;  // of add_context() or offer_context(), or the whole SHA-256 that find_context() takes
  std::string dockerfile = "Dockerfile";       // path in the context, or only a name when the text is given
  std::optional<std::string> dockerfile_text;  // instead of the file in the context
  std::string target;                          // a stage; empty builds the last one
  std::map<std::string, std::string> build_args;
  std::vector<std::string> tags;  // "web", "web:1"
  // Named contexts: "image:<reference>", or the id of another uploaded context.
  std::map<std::string, std::string> contexts;
  std::map<std::string, std::string> secrets;  // values by id; kept in memory only
  std::map<std::string, std::string> agents;   // ssh agents' sockets on this host, by id
  // With both set, RUN steps have a DOCKER_HOST and a DOCKER_CONFIG directory with this config.json, which is a secret.
  std::string docker_host, docker_config;
  BuildLimits limits;
  bool no_cache = false;
  bool check = false;  // only look at the Dockerfile: warnings and errors, nothing is built
};

struct BaseRequest {
  std::string name;                    // "debian": becomes name:suite
  std::string suite = "bookworm";      // ignored for busybox
  std::vector<std::string> packages;   // besides the minimal system
  std::string from = "debian";         // "debian": mmdebstrap from the host's archives; "busybox": the host's static busybox
  std::vector<std::string> users;         // "name:uid" or "name:uid:gid", besides those of the system
  std::vector<std::string> certificates;  // PEM: authorities that programs in the image trust
  WATARI_FIELDS(BaseRequest, name, suite, packages, from, users, certificates)
};

enum class BuildStatus { Running, Succeeded, Failed, Stopped };
enum class StepStatus { Waiting, Running, Cached, Done, Failed, Cancelled };

WATARI_ENUM(BuildStatus, {BuildStatus::Running, "RUNNING"}, {BuildStatus::Succeeded, "SUCCEEDED"},
            {BuildStatus::Failed, "FAILED"}, {BuildStatus::Stopped, "STOPPED"})
WATARI_ENUM(StepStatus, {StepStatus::Waiting, "WAITING"}, {StepStatus::Running, "RUNNING"}, {StepStatus::Cached, "CACHED"},
            {StepStatus::Done, "DONE"}, {StepStatus::Failed, "FAILED"}, {StepStatus::Cancelled, "CANCELLED"})

struct Step {
  int number = 0;           // from 1, over all stages that are built
  std::string stage;        // its name, or its number from 0
  std::string instruction;  // one line
  int line = 0;
  StepStatus status = StepStatus::Waiting;
  std::int64_t milliseconds = 0;
  std::string reason;  // why the cache had it or not
  WATARI_FIELDS(Step, number, stage, instruction, line, status, milliseconds, reason)
};

// Something in a Dockerfile that builds and yet is likely wrong. Source: https://docs.docker.com/reference/build-checks/
struct Warning {
  std::string rule;  // "StageNameCasing"
  int line = 0;
  std::string message;
  std::string quote;  // the line
  WATARI_FIELDS(Warning, rule, line, message, quote)
};

struct LogLine {
  int step = 0;  // 0 for the build itself
  Time at{};
  std::string text;
  WATARI_FIELDS(LogLine, step, at, text)
};

struct BuildReport {
  std::string build_id;
  BuildStatus status = BuildStatus::Running;
  Time started_at{}, ended_at{};
  std::string image_digest, error;
  std::vector<std::string> tags;
  std::vector<Step> steps;
  std::vector<Warning> warnings;
  std::vector<LogLine> lines;          // from the asked position on
  std::int64_t next_log_position = 0;  // ask with this one the next time
  WATARI_FIELDS(BuildReport, build_id, status, started_at, ended_at, image_digest, error, tags, steps, warnings)
};

struct BuilderOptions {
  std::filesystem::path root;            // the server's root directory
  std::string runtime = "crun";          // any OCI runtime
  std::string group = "watari-build-";   // control groups of builds are named this, then the build's id
  std::size_t parallel = 0;              // steps at once; 0 takes the number of cores
};

class Builder {
 public:
  // Sweeps what a crash left behind; builds that were running are Failed with the reason from now on.
  static Result<std::unique_ptr<Builder>> open(BuilderOptions options, oci::ImageStore& images);
  virtual ~Builder() = default;  // stops running builds and waits for them

  // Unpacks a tar (plain, gzip or zstd) read from `read` (an empty result ends it) and returns its id, a part of the plain tar's
  // SHA-256, so the same tar gives the same context. Entries that lead outside of it are refused. Blocking.
  using Read = std::function<Result<std::size_t>(std::span<char>)>;
  virtual Result<std::string> add_context(const Read& read) = 0;

  // The same with less to send. offer: takes the tar with every file's bytes replaced by their SHA-256 in hexadecimal (the index), and tells
  // the context's id and the digests of content that is not here yet. supply: takes a tar of just that, files named by their digests. When
  // nothing is missing any more the context is there. NotFound when the index was offered too long ago. Blocking.
  struct ContextOffer {
    std::string id;
    std::vector<std::string> missing;
  };
  virtual Result<ContextOffer> offer_context(const Read& index) = 0;
  virtual Result<ContextOffer> supply_context(const std::string& id, const Read& files) = 0;

  // The id of a context whose plain tar or index has this SHA-256 (hexadecimal), so that a client need not send it again. NotFound.
  virtual Result<std::string> find_context(const std::string& sha256) = 0;

  // The caches of RUN --mount=type=cache as one tar, and back: builder/cache_mounts.h. import_caches tells their ids.
  using Write = std::function<Result<void>(std::string_view)>;
  virtual Result<void> export_caches(const Write& write) = 0;
  virtual Result<std::vector<std::string>> import_caches(const Read& read) = 0;

  // Removes what nobody used for `age`: entries of the step cache that lead to no layer any more, and directories of RUN --mount=type=cache.
  // To be called after ImageStore::prune(). Blocking; safe beside builds.
  struct Collected {
    std::size_t entries = 0;
    std::vector<std::string> mounts;  // ids of caches
    std::int64_t bytes = 0;           // of these
  };
  virtual Collected collect_cache(const CacheLimits& limits) = 0;

  // Both return the build's id at once. InvalidArgument/NotFound when the request cannot be started at all.
  virtual Result<std::string> start(BuildRequest request) = 0;
  virtual Result<std::string> start_base(BaseRequest request) = 0;

  // The report with at most 1,000 log lines from `log_position` on. With `wait` it comes when the build has ended or has such lines, or that
  // much later; at once when several wait already, as each holds a thread of its caller's. NotFound for an unknown id.
  virtual Result<BuildReport> get(const std::string& build_id, std::int64_t log_position, Millis wait = {}) = 0;
  // Kills what the build runs; its status becomes Stopped soon. No effect on a finished build.
  virtual Result<void> stop(const std::string& build_id) = 0;
};

}  // namespace watari::builder
