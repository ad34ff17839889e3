#pragma once
// One build: its report, its log, and the two files that keep them (DIR/<id>/build.json, DIR/<id>/log with a JSON object a line).
// A power cut may take the record of a build, never its image, which is on the disk before the record says so. Log positions are byte offsets. Thread-safe; several stage threads report into it.
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include "builder/builder.h"
#include "builder/plan.h"
#include "builder/stage_build.h"
#include "builder/stop_signal.h"
#include "sys/fd.h"

namespace watari::builder {

class BuildRecord final : public BuildObserver {
 public:
  // Makes the directory and files; what is answered to the client after this survives the end of this process.
  static Result<std::shared_ptr<BuildRecord>> create(const std::filesystem::path& directory, std::vector<std::string> tags);

  const std::string& id() const { return report_.build_id; }
  StopSignal& stop_signal() { return stop_; }
  void stop_by_user();

  void set_steps(std::vector<Step> steps);
  void set_warnings(std::vector<Warning> warnings);
  void step_started(int step) override;
  void step_ended(int step, StepStatus status, std::string reason) override;
  void line(int step, std::string_view text) override;
  // Writes the final report: Succeeded with the digest, or Failed/Stopped with the error.
  void finish(const Result<oci::Image>& image);

  BuildReport report();
  // Until the build has ended or its log is longer than `position`, at most so long.
  void wait(std::int64_t position, Millis longest);

 private:
  explicit BuildRecord(std::filesystem::path directory) : directory_(std::move(directory)) {}
  Result<void> save();

  std::filesystem::path directory_;
  StopSignal stop_;
  std::mutex mutex_;
  std::condition_variable changed_;  // the log has grown, or the build has ended
  std::int64_t log_size_ = 0;
  BuildReport report_;
  std::map<int, Time> started_;
  sys::Fd log_;
  bool stopped_by_user_ = false;
};

// The steps of a plan, all waiting.
std::vector<Step> steps_of(const Plan& plan);

// The report as it is on disk. NotFound.
Result<BuildReport> load_report(const std::filesystem::path& directory);
Result<void> save_report(const std::filesystem::path& directory, const BuildReport& report);
// Adds the lines from `position` on to the report, at most 1,000.
Result<void> load_lines(const std::filesystem::path& directory, std::int64_t position, BuildReport& report);

}  // namespace watari::builder
