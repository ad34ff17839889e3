#include "runtime/shim_client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "base/strings.h"
#include "codec/reflect.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace watari::runtime {
namespace {

using codec::Json;

Result<sockaddr_un> address_of(const std::string& directory) {
  auto path = socket_file(directory);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Code::InvalidArgument, "the path of socket {} is too long", path);
  path.copy(address.sun_path, path.size());
  return address;
}

Code code_named(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(Code::Internal); ++i)
    if (to_string(static_cast<Code>(i)) == name) return static_cast<Code>(i);
  return Code::Internal;
}

}  // namespace

Result<ShimStart> ShimStart::begin(const std::string& program, const std::string& directory) {
  TRY(auto address, address_of(directory));
  ::unlink(address.sun_path);
  sys::Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener || ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener.get(), 16) != 0)
    return sys::fail_errno(std::string("listen on ") + address.sun_path);
  int errors[2], go[2];
  if (::pipe2(errors, O_CLOEXEC) != 0) return sys::fail_errno("pipe");
  sys::Fd errors_end(errors[1]);
  ShimStart start;
  start.errors_.reset(errors[0]);
  if (::pipe2(go, O_CLOEXEC) != 0) return sys::fail_errno("pipe");
  sys::Fd go_end(go[0]);
  start.go_.reset(go[1]);
  TRY(start.child_, sys::spawn({.argv = {program, directory},
                                .environment = std::nullopt,
                                .descriptors = {{0, go_end.get()}, {2, errors_end.get()}, {3, listener.get()}}}));
  return start;
}

Result<void> ShimStart::finish() {
  bool sent = ::write(go_.get(), "g", 1) == 1;  // it may be dead already (SIGPIPE is ignored in the daemon)
  go_.reset();
  auto child = std::exchange(child_, {});
  TRY(auto status, sys::wait_child(child));
  if (status == 0 && sent) return {};
  std::string said;
  char buffer[4096];
  for (ssize_t n; (n = ::read(errors_.get(), buffer, sizeof buffer)) > 0;) said.append(buffer, static_cast<std::size_t>(n));
  return fail(Code::Unavailable, "{}", said.empty() ? "watari-shim ended with code " + std::to_string(status) : std::string(trim(said)));
}

ShimStart::~ShimStart() {
  go_.reset();
  if (child_.pidfd) (void)sys::wait_child(child_);
}

struct ShimClient::Impl {
  sys::Fd socket, wake_read, wake_write;
  Handlers handlers;
  std::mutex mutex;
  std::map<std::int64_t, Reply> waiting;
  std::int64_t next_id = 1;
  std::string output;
  bool dead = false;
  std::thread thread;

  void wake() { (void)!::write(wake_write.get(), "x", 1); }
  bool flush();
  void read_loop();
  void handle(const std::string& line);
  void fail_waiting();
};

// Called with the mutex held. False when the socket is broken.
bool ShimClient::Impl::flush() {
  while (!output.empty()) {
    auto n = ::send(socket.get(), output.data(), output.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    output.erase(0, static_cast<std::size_t>(n));
  }
  return true;
}

void ShimClient::Impl::handle(const std::string& line) {
  auto message = codec::parse_json(line);
  if (!message) return;
  if ((*message)["event"].as_string() == "container") {
    if (auto container = codec::from_json<ShimContainer>((*message)["container"])) handlers.changed(*container);
    return;
  }
  Reply reply;
  {
    std::lock_guard lock(mutex);
    auto found = waiting.extract((*message)["id"].as_int());
    if (found.empty()) return;
    reply = std::move(found.mapped());
  }
  if (message->has("ok")) return reply((*message)["ok"]);
  const auto& error = (*message)["error"];
  reply(fail(Error{code_named(error["code"].as_string()), error["message"].as_string()}));
}

void ShimClient::Impl::fail_waiting() {
  std::map<std::int64_t, Reply> orphans;
  {
    std::lock_guard lock(mutex);
    dead = true;
    orphans.swap(waiting);
  }
  for (auto& [id, reply] : orphans) reply(fail(Code::Unavailable, "the task's shim is gone"));
}

void ShimClient::Impl::read_loop() {
  std::string input;
  char buffer[16384];
  bool closing = false, broken = false;
  while (!closing && !broken) {
    bool more;
    {
      std::lock_guard lock(mutex);
      broken = !flush();
      more = !output.empty();
    }
    pollfd ready[2] = {{socket.get(), static_cast<short>(POLLIN | (more ? POLLOUT : 0)), 0}, {wake_read.get(), POLLIN, 0}};
    if (::poll(ready, 2, -1) < 0) continue;
    if (ready[1].revents) {
      auto n = ::read(wake_read.get(), buffer, sizeof buffer);
      for (ssize_t i = 0; i < n; ++i) closing |= buffer[i] == 'q';
    }
    if (closing || !ready[0].revents) continue;
    auto n = ::recv(socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) {
      broken = true;
      continue;
    }
    input.append(buffer, static_cast<std::size_t>(n));
    for (std::size_t newline; (newline = input.find('\n')) != std::string::npos;) {
      handle(input.substr(0, newline));
      input.erase(0, newline + 1);
    }
  }
  fail_waiting();
  if (!closing) handlers.lost();
}

Result<std::unique_ptr<ShimClient>> ShimClient::connect(const std::string& directory, Handlers handlers) {
  TRY(auto address, address_of(directory));
  auto impl = std::make_shared<Impl>();
  impl->socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!impl->socket || ::connect(impl->socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail(Code::Unavailable, "connect to {}: {}", address.sun_path, std::strerror(errno));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return sys::fail_errno("pipe");
  impl->wake_read.reset(ends[0]);
  impl->wake_write.reset(ends[1]);
  impl->handlers = std::move(handlers);
  impl->thread = std::thread([impl] { impl->read_loop(); });
  return std::unique_ptr<ShimClient>(new ShimClient(std::move(impl)));
}

ShimClient::ShimClient(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

ShimClient::~ShimClient() {
  (void)!::write(impl_->wake_write.get(), "q", 1);
  if (impl_->thread.joinable()) impl_->thread.join();
}

void ShimClient::call(const std::string& op, Json args, Reply reply) {
  bool dead;
  {
    std::lock_guard lock(impl_->mutex);
    dead = impl_->dead;
    if (!dead) {
      auto id = impl_->next_id++;
      impl_->output += Json::object({{"id", id}, {"op", op}, {"args", std::move(args)}}).dump() + "\n";
      impl_->waiting.emplace(id, std::move(reply));
      // Straight away in the common case; a full socket or an error is the reading thread's business.
      (void)impl_->flush();
      if (impl_->output.empty()) return;
    }
  }
  if (dead) return reply(fail(Code::Unavailable, "the task's shim is gone"));
  impl_->wake();
}

Result<Json> ShimClient::ask(const std::string& op, Json args, Millis timeout) {
  auto answer = std::make_shared<std::promise<Result<Json>>>();
  auto future = answer->get_future();
  call(op, std::move(args), [answer](Result<Json> reply) { answer->set_value(std::move(reply)); });
  if (future.wait_for(timeout) != std::future_status::ready)
    return fail(Code::DeadlineExceeded, "the task's shim did not answer \"{}\" within {} ms", op, timeout.count());
  return future.get();
}

}  // namespace watari::runtime
