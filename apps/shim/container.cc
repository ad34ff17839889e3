#include "container.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>

#include "base/strings.h"
#include "codec/reflect.h"
#include "console.h"
#include "sys/files.h"

namespace watari::shim {
namespace {

using runtime::ShimState;

Time now() { return std::chrono::floor<Millis>(std::chrono::system_clock::now()); }
std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<std::pair<sys::Fd, sys::Fd>> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return sys::fail_errno("pipe");
  return std::pair(sys::Fd(ends[0]), sys::Fd(ends[1]));
}

void never_block(const sys::Fd& fd) { ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

// One buffer for all pipes: there is one thread.
std::array<char, 65536> buffer;

}  // namespace

Container::Container(Context& context, runtime::RunRequest request, OnChange on_change)
    : context_(context), request_(std::move(request)), on_change_(std::move(on_change)) {
  report_.name = request_.container;
}

Container::~Container() {
  for (auto* fd : {&stdout_, &stderr_, &console_})
    if (*fd) context_.loop.forget(fd->get());
}

std::vector<std::string> Container::runtime_command(std::vector<std::string> rest) const {
  auto argv = context_.runtime;
  for (auto* option : {"--log-format=json", "--root"}) argv.emplace_back(option);
  argv.push_back(context_.directory + "/runtime");
  argv.push_back("--log=" + request_.bundle + "/runtime.log");
  for (auto& word : rest) argv.push_back(std::move(word));
  return argv;
}

void Container::start() {
  if (auto prepared = prepare(); !prepared) return fail_with(prepared.error().message);
  fill_volumes();
}

// One volume after the other; the others' output goes on being read meanwhile.
void Container::fill_volumes() {
  if (fills_.empty()) {
    if (auto launched = launch(); !launched) fail_with(launched.error().message);
    return;
  }
  auto fill = std::make_shared<Mounts::Fill>(std::move(fills_.back()));
  fills_.pop_back();
  auto child = context_.loop.spawn({.argv = fill->argv, .environment = std::nullopt, .descriptors = {}}, [this, fill](int status) {
    (void)sys::unmount(fill->image);
    if (sys::exit_code(status) != 0) return fail_with("cannot copy the image's content into a new volume (is the disk full?)");
    fill_volumes();
  });
  if (!child) fail_with(child.error().message);
}

Result<void> Container::prepare() {
  TRY(auto text, sys::read_file(request_.bundle + "/config.json"));
  TRY(auto config, codec::parse_json(text));
  process_ = config["process"];
  TRY(fills_, context_.mounts.mount_container(request_));
  TRY(auto log, logs::SegmentWriter::open(request_.log_directory));
  log_ = std::make_unique<logs::SegmentWriter>(std::move(log));
  return {};
}

Result<void> Container::launch() {
  sys::SpawnOptions options;
  std::vector<std::string> words{"run", "--detach", "--bundle", request_.bundle, "--pid-file", request_.bundle + "/pid"};
  sys::Fd out, error, in;
  if (request_.terminal) {
    auto path = context_.directory + "/console-" + request_.container + ".sock";
    TRY(console_, receive_console(context_.loop, path, [this](sys::Fd terminal) {
          stdout_ = std::move(terminal);
          never_block(stdout_);
          context_.loop.watch(stdout_.get(), EPOLLIN, [this] { read_output(logs::Stream::Stdout); });
        }));
    words.insert(words.end(), {"--console-socket", path});
  } else {
    TRY(auto stdout_pipe, make_pipe());
    TRY(auto stderr_pipe, make_pipe());
    stdout_ = std::move(stdout_pipe.first);
    stderr_ = std::move(stderr_pipe.first);
    out = std::move(stdout_pipe.second);
    error = std::move(stderr_pipe.second);
    options.descriptors = {{1, out.get()}, {2, error.get()}};
    if (request_.open_stdin) {
      TRY(auto stdin_pipe, make_pipe());
      in = std::move(stdin_pipe.first);
      stdin_ = std::move(stdin_pipe.second);
      options.descriptors[0] = in.get();
    }
    for (auto stream : {logs::Stream::Stdout, logs::Stream::Stderr}) {
      never_block(pipe_of(stream));
      context_.loop.watch(pipe_of(stream).get(), EPOLLIN, [this, stream] { read_output(stream); });
    }
  }
  words.push_back(request_.runtime_id);
  options.argv = runtime_command(std::move(words));
  context_.loop.keep_orphans(true);
  auto child = context_.loop.spawn(options, [this](int status) {
    runtime_ended(status);
    context_.loop.keep_orphans(false);
  });
  if (!child) {
    context_.loop.keep_orphans(false);
    return fail(child.error());
  }
  return {};
}

std::string Container::runtime_error() const {
  auto log = sys::read_file(request_.bundle + "/runtime.log").value_or("");
  std::string last;
  for (const auto& line : split(log, '\n'))
    if (auto entry = codec::parse_json(line); entry && !(*entry)["msg"].as_string().empty()) last = (*entry)["msg"].as_string();
  return last.empty() ? context_.runtime[0] + " failed without saying why" : last;
}

void Container::runtime_ended(int status) {
  auto pid = parse_number<int>(trim(sys::read_file(request_.bundle + "/pid").value_or("")));
  if (sys::exit_code(status) != 0 || !pid) return fail_with(runtime_error());
  report_.pid = *pid;
  report_.state = ShimState::Running;
  report_.started_at = now();
  context_.loop.adopt(*pid, [this](int ended) { first_process_ended(ended); });
  on_change_(report_);
}

void Container::fail_with(std::string message) {
  if (report_.state == ShimState::Failed) return;
  report_.state = ShimState::Failed;
  report_.error = std::move(message);
  report_.finished_at = now();
  // What the program managed to print is worth keeping.
  for (auto stream : {logs::Stream::Stdout, logs::Stream::Stderr})
    if (pipe_of(stream)) read_output(stream);
  if (log_) (void)log_->finish(now_ns());
  (void)context_.loop.spawn({.argv = runtime_command({"delete", "--force", request_.runtime_id}), .environment = {}, .descriptors = {}},
                            [](int) {});
  on_change_(report_);
}

void Container::read_output(logs::Stream stream) {
  auto& pipe = pipe_of(stream);
  // A few rounds, then the others have their turn.
  for (int round = 0; round < 16 && pipe; ++round) {
    auto n = ::read(pipe.get(), buffer.data(), buffer.size());
    if (n > 0) {
      log_->append(stream, now_ns(), {buffer.data(), static_cast<std::size_t>(n)});
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    context_.loop.forget(pipe.get());  // end of file, or EIO: the terminal's last user is gone
    pipe.reset();
  }
  flush();
  if (ended_) finish_when_drained();
}

void Container::flush() {
  if (!log_) return;
  auto flushed = log_->flush();
  if (!flushed && !flush_scheduled_) {
    flush_scheduled_ = true;
    context_.loop.after(Millis(500), [this] {
      flush_scheduled_ = false;
      flush();
    });
  }
  if (log_->has_unfinished() && !release_scheduled_) {
    release_scheduled_ = true;
    context_.loop.after(Millis(1000), [this] {
      release_scheduled_ = false;
      if (!log_ || finished_) return;
      log_->release_unfinished(now_ns());
      flush();
    });
  }
}

void Container::first_process_ended(int status) {
  ended_ = true;
  report_.exit_code = sys::exit_code(status);
  report_.out_of_memory = context_.cgroups.oom_kills(request_.cgroup) > 0;
  if (auto usage = context_.cgroups.usage(request_.cgroup)) report_.memory_peak_bytes = usage->memory_peak_bytes;
  report_.finished_at = now();
  finish_when_drained();
  // Somebody outside the container may hold the pipe open (an exec that was not ours); do not wait for ever.
  context_.loop.after(Millis(2000), [this] { finish(); });
}

void Container::finish_when_drained() {
  if (!stdout_ && !stderr_) finish();
}

void Container::finish() {
  if (finished_) return;
  finished_ = true;
  (void)log_->finish(now_ns());
  report_.state = ShimState::Exited;
  report_.pid = 0;
  on_change_(report_);
  (void)context_.loop.spawn({.argv = runtime_command({"delete", "--force", request_.runtime_id}), .environment = {}, .descriptors = {}},
                            [](int) {});
}

void Container::signal(int number) {
  // The pid is ours until we reap it, so it cannot mean another process.
  if (report_.state == ShimState::Running && !ended_ && report_.pid > 0) ::kill(report_.pid, number);
}

struct Container::Exec {
  std::string pid_file, process_file, output;
  sys::Fd pipe;
  pid_t runtime = 0;
  std::uint64_t timer = 0;
  bool timed_out = false, done = false;
  OnExec reply;
};

namespace {

std::string replace_invalid_utf8(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    auto lead = static_cast<unsigned char>(text[i]);
    std::size_t length = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
    bool valid = length > 0 && i + length <= text.size();
    for (std::size_t k = 1; valid && k < length; ++k) valid = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
    if (valid) {
      out.append(text, i, length);
      i += length;
    } else {
      out += "\xef\xbf\xbd";
      ++i;
    }
  }
  return out;
}

codec::Json with_terminal_type(const codec::Json& environment) {
  auto out = codec::Json::array();
  bool known = false;
  for (const auto& entry : environment.as_array()) {
    known |= entry.as_string().starts_with("TERM=");
    out.push(entry);
  }
  if (!known) out.push("TERM=xterm");
  return out;
}

void collect(const sys::Fd& pipe, std::string& output) {
  for (;;) {
    auto n = ::read(pipe.get(), buffer.data(), buffer.size());
    if (n <= 0) return;
    auto room = runtime::kMaxExecOutput - output.size();
    output.append(buffer.data(), std::min(room, static_cast<std::size_t>(n)));
  }
}

}  // namespace

void Container::exec(const runtime::ExecRequest& request, OnExec done) {
  if (report_.state != ShimState::Running || ended_)
    return done(fail(Code::FailedPrecondition, "container {} does not run", request_.container));
  auto run = std::make_shared<Exec>();
  auto stem = request_.bundle + "/exec-" + std::to_string(++execs_);
  run->pid_file = stem + ".pid";
  run->process_file = stem + ".json";
  run->reply = std::move(done);
  auto process = process_;
  codec::Json args = codec::Json::array();
  for (const auto& word : request.argv) args.push(word);
  process.set("args", std::move(args));
  bool terminal = !request.console_socket.empty();
  process.set("terminal", terminal);
  if (terminal) process.set("env", with_terminal_type(process["env"]));
  auto started = [&]() -> Result<void> {
    TRY_VOID(sys::write_file(run->process_file, process.dump(), 0600));
    TRY(auto ends, make_pipe());
    run->pipe = std::move(ends.first);
    never_block(run->pipe);
    sys::SpawnOptions options;
    std::vector<std::string> words{"exec", "--process", run->process_file, "--pid-file", run->pid_file};
    if (terminal) words.insert(words.end(), {"--tty", "--console-socket", request.console_socket});
    words.push_back(request_.runtime_id);
    options.argv = runtime_command(std::move(words));
    options.descriptors = {{1, ends.second.get()}, {2, ends.second.get()}};
    TRY(auto child, context_.loop.spawn(options, [this, run](int status) { finish_exec(run, status); }));
    run->runtime = child.pid;
    return {};
  }();
  if (!started) return run->reply(fail(started.error()));
  context_.loop.watch(run->pipe.get(), EPOLLIN | EPOLLET, [run] { collect(run->pipe, run->output); });
  if (request.timeout_ms <= 0) return;
  run->timer = context_.loop.after(Millis(request.timeout_ms), [run] {
    run->timed_out = true;
    // The runtime makes the command the leader of a session: its children go with it.
    if (auto pid = parse_number<int>(trim(sys::read_file(run->pid_file).value_or("")))) {
      ::kill(-*pid, SIGKILL);
      ::kill(*pid, SIGKILL);
    }
    ::kill(run->runtime, SIGKILL);
  });
}

void Container::finish_exec(const std::shared_ptr<Exec>& run, int status) {
  context_.loop.cancel(run->timer);
  collect(run->pipe, run->output);
  context_.loop.forget(run->pipe.get());
  run->pipe.reset();
  ::unlink(run->process_file.c_str());
  ::unlink(run->pid_file.c_str());
  run->reply(runtime::ExecReply{run->timed_out ? 137 : sys::exit_code(status), run->timed_out, replace_invalid_utf8(run->output)});
}

}  // namespace watari::shim
