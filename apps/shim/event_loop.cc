#include "event_loop.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <algorithm>

#include "sys/files.h"

namespace watari::shim {
namespace {

// Of this process. Lowering it needs CAP_SYS_RESOURCE; without that it stays at 0.
void set_oom_score(const char* score) { (void)sys::write_file("/proc/self/oom_score_adj", score); }

// The shim should be the last to die when the machine's memory runs out. Its children must not inherit that (runtimes take the
// 0 of a bundle for "leave it as it is").
constexpr auto kOwnScore = "-900";

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  std::unique_ptr<EventLoop> loop(new EventLoop);
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child, nullptr);
  loop->signals_.reset(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
  loop->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!loop->signals_ || !loop->epoll_) return sys::fail_errno("make an event loop");
  set_oom_score(kOwnScore);
  loop->watch(loop->signals_.get(), EPOLLIN, [raw = loop.get()] { raw->reap(); });
  return loop;
}

void EventLoop::watch(int fd, std::uint32_t events, OnReady callback) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
  ready_[fd] = std::move(callback);
}

void EventLoop::forget(int fd) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  ready_.erase(fd);
}

std::uint64_t EventLoop::after(Millis delay, OnReady callback) {
  auto id = next_timer_++;
  timers_.emplace(std::pair(Steady::now() + delay, id), std::move(callback));
  return id;
}

void EventLoop::cancel(std::uint64_t timer) {
  std::erase_if(timers_, [&](const auto& entry) { return entry.first.second == timer; });
}

Result<sys::Child> EventLoop::spawn(const sys::SpawnOptions& options, OnEnd on_end) {
  set_oom_score("0");
  auto spawned = sys::spawn(options);
  set_oom_score(kOwnScore);
  TRY(auto child, std::move(spawned));
  // Children are reaped nowhere but in reap(), so whatever is known under this pid is about an earlier process.
  orphans_.erase(child.pid);
  children_[child.pid] = std::move(on_end);
  return child;
}

void EventLoop::adopt(pid_t pid, OnEnd on_end) {
  children_[pid] = std::move(on_end);
  auto orphan = orphans_.extract(pid);
  // A living process of that number is ours, and the status was that of an earlier one.
  if (orphan.empty() || ::kill(pid, 0) == 0) return;
  after(Millis(0), [this, pid, status = orphan.mapped()] {
    if (auto child = children_.extract(pid); !child.empty()) child.mapped()(status);
  });
}

void EventLoop::keep_orphans(bool keep) {
  keepers_ += keep ? 1 : -1;
  if (keepers_ == 0) orphans_.clear();
}

void EventLoop::reap() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) > 0) {
  }
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (auto child = children_.extract(pid); !child.empty())
      child.mapped()(status);
    else if (keepers_ > 0)
      orphans_[pid] = status;
  }
}

int EventLoop::milliseconds_to_next_timer() const {
  if (timers_.empty()) return -1;
  auto left = std::chrono::ceil<Millis>(timers_.begin()->first.first - Steady::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

void EventLoop::fire_timers() {
  while (!timers_.empty() && timers_.begin()->first.first <= Steady::now()) {
    auto due = timers_.extract(timers_.begin());
    due.mapped()();
  }
}

void EventLoop::run() {
  while (running_) {
    epoll_event events[16];
    int n = ::epoll_wait(epoll_.get(), events, 16, milliseconds_to_next_timer());
    for (int i = 0; i < n && running_; ++i) {
      auto found = ready_.find(events[i].data.fd);
      if (found == ready_.end()) continue;
      auto callback = found->second;  // a copy: the callback may forget its descriptor
      callback();
    }
    fire_timers();
  }
}

}  // namespace watari::shim
