#include "builder/build_record.h"

#include <fcntl.h>

#include <algorithm>
#include <fstream>

#include "base/id.h"
#include "base/log.h"
#include "codec/reflect.h"
#include "sys/files.h"

namespace watari::builder {

namespace fs = std::filesystem;

namespace {
constexpr std::size_t kLinesAtOnce = 1000;
Time now() { return SystemClock().now(); }
}  // namespace

Result<std::shared_ptr<BuildRecord>> BuildRecord::create(const fs::path& directory, std::vector<std::string> tags) {
  auto id = random_hex(16);
  std::shared_ptr<BuildRecord> record(new BuildRecord(directory / id));
  TRY_VOID(sys::make_directories(record->directory_));
  record->log_ = sys::Fd(::open((record->directory_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!record->log_) return sys::fail_errno("create the build's log");
  record->report_.build_id = id;
  record->report_.started_at = now();
  record->report_.tags = std::move(tags);
  TRY_VOID(record->save());
  return record;
}

Result<void> BuildRecord::save() { return save_report(directory_, report_); }

void BuildRecord::stop_by_user() {
  std::lock_guard lock(mutex_);
  stopped_by_user_ = true;
  stop_.stop();
}

void BuildRecord::set_steps(std::vector<Step> steps) {
  std::lock_guard lock(mutex_);
  report_.steps = std::move(steps);
}

void BuildRecord::set_warnings(std::vector<Warning> warnings) {
  std::lock_guard lock(mutex_);
  report_.warnings = std::move(warnings);
}

void BuildRecord::step_started(int step) {
  std::lock_guard lock(mutex_);
  started_[step] = now();
  report_.steps.at(static_cast<std::size_t>(step - 1)).status = StepStatus::Running;
}

void BuildRecord::step_ended(int step, StepStatus status, std::string reason) {
  std::lock_guard lock(mutex_);
  auto& entry = report_.steps.at(static_cast<std::size_t>(step - 1));
  entry.status = status;
  entry.reason = std::move(reason);
  entry.milliseconds = (now() - started_[step]).count();
}

void BuildRecord::line(int step, std::string_view text) {
  auto bytes = codec::to_json(LogLine{step, now(), std::string(text)}).dump() + "\n";
  std::lock_guard lock(mutex_);
  if (::write(log_.get(), bytes.data(), bytes.size()) < 0) log::warn("build {}: cannot write its log: {}", report_.build_id, std::strerror(errno));
  log_size_ += static_cast<std::int64_t>(bytes.size());
  changed_.notify_all();
}

void BuildRecord::finish(const Result<oci::Image>& image) {
  std::lock_guard lock(mutex_);
  report_.ended_at = now();
  report_.status = image ? BuildStatus::Succeeded : stopped_by_user_ ? BuildStatus::Stopped : BuildStatus::Failed;
  if (image) report_.image_digest = image->digest;
  else report_.error = stopped_by_user_ ? "the build was stopped" : image.error().message;
  for (auto& step : report_.steps)
    if (step.status == StepStatus::Waiting || step.status == StepStatus::Running) step.status = StepStatus::Cancelled;
  if (auto saved = save(); !saved) log::error("build {}: {}", report_.build_id, saved.error().message);
  changed_.notify_all();
}

void BuildRecord::wait(std::int64_t position, Millis longest) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, longest, [&] { return report_.status != BuildStatus::Running || log_size_ > position; });
}

BuildReport BuildRecord::report() {
  std::lock_guard lock(mutex_);
  auto copy = report_;
  for (auto& step : copy.steps)
    if (step.status == StepStatus::Running) step.milliseconds = (now() - started_[step.number]).count();
  return copy;
}

std::vector<Step> steps_of(const Plan& plan) {
  std::vector<Step> steps;
  for (const auto& stage : plan.stages) {
    auto add = [&](const Instruction& instruction) {
      steps.push_back({static_cast<int>(steps.size()) + 1, stage.name, instruction.source, instruction.line, StepStatus::Waiting, 0, ""});
    };
    add(stage.from);
    std::ranges::for_each(stage.instructions, add);
  }
  return steps;
}

Result<BuildReport> load_report(const fs::path& directory) {
  auto text = sys::read_file(directory / "build.json");
  if (!text) return fail(Code::NotFound, "no build {} here", directory.filename().string());
  TRY(auto json, codec::parse_json(*text));
  BuildReport report;
  TRY_VOID(codec::read_json(json, report));
  return report;
}

Result<void> save_report(const fs::path& directory, const BuildReport& report) {
  return sys::replace_file(directory / "build.json", codec::to_json(report).dump());
}

Result<void> load_lines(const fs::path& directory, std::int64_t position, BuildReport& report) {
  std::ifstream log(directory / "log", std::ios::binary);
  log.seekg(position);
  report.next_log_position = position;
  std::string text;
  while (report.lines.size() < kLinesAtOnce && std::getline(log, text) && !log.eof()) {
    report.next_log_position += static_cast<std::int64_t>(text.size()) + 1;
    auto json = codec::parse_json(text);
    LogLine line;
    if (json && codec::read_json(*json, line)) report.lines.push_back(std::move(line));
  }
  return {};
}

}  // namespace watari::builder
