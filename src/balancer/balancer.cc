#include "balancer/balancer.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>

#include "balancer/haproxy.h"
#include "balancer/ports.h"
#include "balancer/start.h"
#include "base/log.h"

namespace watari::balancer {

namespace {

// One thread: take the newest snapshot, carry it out, watch. HAProxy's death wakes it at once.
class HaproxyBalancer final : public Balancer {
 public:
  HaproxyBalancer(Options options, Observer observer, AccessLogSink access_log)
      : options_(std::move(options)), observer_(std::move(observer)), access_log_(std::move(access_log)), addresses_(bind_addresses(options_.address)),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), thread_([this] { run(); }) {}

  ~HaproxyBalancer() override {
    {
      std::scoped_lock lock(mutex_);
      ending_ = true;
    }
    wake();
    thread_.join();
    ::close(wake_);
  }

  void apply(Snapshot snapshot) override {
    {
      std::scoped_lock lock(mutex_);
      next_ = std::move(snapshot);
    }
    wake();
  }

  void flush(std::function<void()> done) override {
    {
      std::scoped_lock lock(mutex_);
      waiting_.push_back(std::move(done));
    }
    wake();
  }

  Result<void> check_port(int port) override {
    {
      std::scoped_lock lock(mutex_);
      if (ports_.contains(port)) return {};
    }
    return port_is_free(addresses_, port);
  }

  std::vector<TargetGroupCounters> counters() const override {
    std::scoped_lock lock(mutex_);
    return counters_;
  }

  void stop_all() override {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    wake();
    stopped_.wait(lock, [&] { return !stopping_; });
  }

 private:
  void wake() {
    std::uint64_t one = 1;
    [[maybe_unused]] auto n = ::write(wake_, &one, sizeof one);
  }

  void run();
  // True when everything that was asked for is in effect.
  bool carry_out(Haproxy& haproxy);
  // Returns how long to wait until the next look.
  Millis look(Haproxy& haproxy);
  void complain(const Error& error);

  Options options_;
  Observer observer_;
  AccessLogSink access_log_;
  std::vector<std::string> addresses_;
  int wake_;

  mutable std::mutex mutex_;
  std::condition_variable stopped_;
  std::optional<Snapshot> next_;
  std::vector<std::function<void()>> waiting_;
  std::set<int> ports_;
  std::vector<TargetGroupCounters> counters_;
  bool ending_ = false, stopping_ = false;

  // Of the thread alone.
  std::optional<Snapshot> current_;
  bool applied_ = true;
  Steady::time_point talk_until_{}, looked_{};
  std::string last_report_, last_complaint_;

  std::thread thread_;
};

void HaproxyBalancer::complain(const Error& error) {
  if (error.message == last_complaint_) return;
  last_complaint_ = error.message;
  log::error("load balancer: {}", error.message);
}

bool HaproxyBalancer::carry_out(Haproxy& haproxy) {
  if (!current_) return false;
  auto done = haproxy.reconcile(*current_);
  std::scoped_lock lock(mutex_);
  ports_ = haproxy.ports();
  if (done) last_complaint_.clear();
  else complain(done.error());
  return done.has_value();
}

Millis HaproxyBalancer::look(Haproxy& haproxy) {
  if (!current_) return Millis(60'000);
  // A change does not wait for the answer of thousands of servers, unless looking was put off too often.
  bool late = Steady::now() - looked_ > std::chrono::seconds(2);
  auto healths = haproxy.observe(*current_, late ? -1 : wake_);
  if (!healths && healths.error().code == Code::Cancelled) return Millis(0);
  looked_ = Steady::now();
  if (!healths) {
    complain(healths.error());
    applied_ = false;
    return Millis(200);
  }
  {
    std::scoped_lock lock(mutex_);
    counters_ = haproxy.counters();
  }
  std::string report;
  bool moving = false, draining = false;
  for (const auto& health : *healths) {
    report += fmt::format("{} {}:{} {} {} {}\n", health.target_group, health.address, health.port, name_of(health.state),
                          health.reason, health.in_flight);
    draining |= health.state == model::TargetState::Draining;
    moving |= health.state != model::TargetState::Healthy && health.state != model::TargetState::Unused;
  }
  // While something moves, and right after a flush, silence could be mistaken for "not looked yet".
  bool talk = moving || Steady::now() < talk_until_;
  if (talk || report != last_report_) {
    last_report_ = report;
    observer_(std::move(*healths));
  }
  return draining ? Millis(40) : talk ? Millis(100) : Millis(1000);
}

void HaproxyBalancer::run() {
  Haproxy haproxy(options_, access_log_);
  haproxy.adopt();
  for (;;) {
    std::vector<std::function<void()>> waiting;
    {
      std::scoped_lock lock(mutex_);
      if (ending_) return;
      ports_ = haproxy.ports();
      if (stopping_) {
        next_ = current_ = Snapshot{};
        haproxy.stop(std::chrono::seconds(5));
        stopping_ = false;
        stopped_.notify_all();
      }
      if (next_) {
        current_ = std::move(next_);
        next_.reset();
        applied_ = false;
        last_report_ = "-";  // a new snapshot is always answered by a report
      }
      waiting.swap(waiting_);
    }
    if (current_ && !current_->listeners.empty() && !haproxy.running()) applied_ = false;
    if (!applied_ || haproxy.incomplete()) applied_ = carry_out(haproxy);
    if (applied_) {
      for (auto& done : waiting) done();
      if (!waiting.empty()) talk_until_ = Steady::now() + Millis(500);
    } else if (!waiting.empty()) {
      std::scoped_lock lock(mutex_);
      waiting_.insert(waiting_.begin(), std::make_move_iterator(waiting.begin()), std::make_move_iterator(waiting.end()));
    }
    Millis pause = applied_ || !current_ ? look(haproxy) : Millis(300);
    if (haproxy.incomplete() || !applied_) pause = std::min(pause, Millis(500));
    if (applied_ && !waiting.empty()) pause = std::min(pause, Millis(25));
    pollfd events[2] = {{wake_, POLLIN, 0}, {haproxy.pidfd(), POLLIN, 0}};
    ::poll(events, 2, static_cast<int>(pause.count()));
    std::uint64_t count = 0;
    [[maybe_unused]] auto n = ::read(wake_, &count, sizeof count);
    if (events[1].revents != 0 && applied_) {
      log::warn("load balancer: HAProxy ended; starting it again");
      applied_ = false;
    }
  }
}

}  // namespace

Result<std::unique_ptr<Balancer>> Balancer::start(Options options, Observer observer) {
  return balancer::start(std::move(options), std::move(observer), {});
}

Result<std::unique_ptr<Balancer>> start(Options options, Balancer::Observer observer, AccessLogSink access_log) {
  std::error_code error;
  std::filesystem::create_directories(options.run_directory, error);
  if (error) return fail(Code::Internal, "create {}: {}", options.run_directory, error.message());
  std::filesystem::permissions(options.run_directory, std::filesystem::perms::owner_all, error);
  return std::make_unique<HaproxyBalancer>(std::move(options), std::move(observer), std::move(access_log));
}

}  // namespace watari::balancer
