#pragma once
// One container of the task, from its mounts to its exit code. Lives as long as the shim; called on its one thread.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "codec/json.h"
#include "event_loop.h"
#include "logs/segment.h"
#include "runtime/shim_protocol.h"
#include "surroundings.h"
#include "sys/cgroup.h"

namespace watari::shim {

class Container {
 public:
  struct Context {
    EventLoop& loop;
    const sys::Cgroups& cgroups;
    Mounts& mounts;
    std::string directory;             // of the task
    std::vector<std::string> runtime;  // program and global options
  };
  using OnChange = std::function<void(const runtime::ShimContainer&)>;
  using OnExec = std::function<void(Result<runtime::ExecReply>)>;

  Container(Context& context, runtime::RunRequest request, OnChange on_change);
  ~Container();

  const runtime::ShimContainer& report() const { return report_; }
  bool lives() const { return report_.state == runtime::ShimState::Creating || report_.state == runtime::ShimState::Running; }
  void start();
  void signal(int number);
  void exec(const runtime::ExecRequest& request, OnExec done);

 private:
  struct Exec;
  Result<void> prepare();
  void fill_volumes();
  Result<void> launch();
  void runtime_ended(int status);
  void first_process_ended(int status);
  void read_output(logs::Stream stream);
  void flush();
  void finish_when_drained();
  void finish();
  void fail_with(std::string message);
  std::vector<std::string> runtime_command(std::vector<std::string> rest) const;
  std::string runtime_error() const;
  sys::Fd& pipe_of(logs::Stream stream) { return stream == logs::Stream::Stdout ? stdout_ : stderr_; }
  void finish_exec(const std::shared_ptr<Exec>& run, int status);

  Context& context_;
  runtime::RunRequest request_;
  OnChange on_change_;
  runtime::ShimContainer report_;
  std::vector<Mounts::Fill> fills_;  // still to be done before the start
  codec::Json process_;  // of config.json: what exec starts from
  std::unique_ptr<logs::SegmentWriter> log_;
  sys::Fd stdout_, stderr_, stdin_, console_;
  bool ended_ = false, finished_ = false, flush_scheduled_ = false, release_scheduled_ = false;
  int execs_ = 0;
};

}  // namespace watari::shim
