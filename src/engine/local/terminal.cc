#include "engine/local/terminal.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <memory>
#include <mutex>
#include <optional>

#include "base/id.h"
#include "base/strings.h"
#include "codec/reflect.h"
#include "sys/receive_fd.h"

namespace watari::engine {
namespace {

constexpr Millis kPatience{15'000};

// Between the shim's answer, which comes on another thread, and us. Before the terminal is there the answer is kept; afterwards it
// goes to `ended`.
struct Outcome {
  std::mutex mutex;
  std::optional<Result<runtime::ExecReply>> answer;
  std::function<void(int)> ended;  // set: the terminal is there
  sys::Fd told;

  void arrive(const Result<codec::Json>& reply) {
    std::function<void(int)> call;
    int code = 255;  // the shim is gone
    {
      std::lock_guard lock(mutex);
      answer = reply.and_then([](const codec::Json& json) { return codec::from_json<runtime::ExecReply>(json); });
      if (*answer) code = (*answer)->exit_code;
      call = ended;
    }
    (void)::eventfd_write(told.get(), 1);
    if (call) call(code);
  }

  // The terminal is there; whoever comes first, `call` is called once with the end.
  void hand_over(std::function<void(int)> call) {
    int code = 255;
    {
      std::lock_guard lock(mutex);
      if (!answer) {
        ended = std::move(call);
        return;
      }
      if (*answer) code = (*answer)->exit_code;
    }
    call(code);
  }
};

Result<sys::Fd> listen_on(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Code::InvalidArgument, "the name of socket {} is too long", path);
  path.copy(address.sun_path, path.size());
  sys::Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener || ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener.get(), 1) != 0)
    return sys::fail_errno("listen on " + path);
  return listener;
}

auto not_started(const Outcome& outcome, const runtime::ExecRequest& request) {
  const auto& answer = *outcome.answer;
  if (!answer) return fail(answer.error());
  auto words = std::string(trim(answer->output));
  return fail(Code::FailedPrecondition, "cannot start {} in container {}: {}", request.argv.front(), request.container,
              words.empty() ? fmt::format("it ended with code {}", answer->exit_code) : words);
}

}  // namespace

Result<sys::Fd> open_terminal(runtime::ShimClient& shim, const std::string& directory, runtime::ExecRequest request,
                              std::function<void(int)> ended) {
  request.console_socket = directory + "/exec-" + random_hex(8) + ".sock";
  TRY(auto listener, listen_on(request.console_socket));
  auto outcome = std::make_shared<Outcome>();
  outcome->told.reset(::eventfd(0, EFD_CLOEXEC));
  shim.call("exec", codec::to_json(request), [outcome](Result<codec::Json> reply) { outcome->arrive(reply); });
  pollfd ready[2] = {{listener.get(), POLLIN, 0}, {outcome->told.get(), POLLIN, 0}};
  auto found = ::poll(ready, 2, static_cast<int>(kPatience.count()));
  ::unlink(request.console_socket.c_str());
  if (found <= 0) return fail(Code::DeadlineExceeded, "the terminal in container {} did not come up", request.container);
  // A command that ends at once has had its terminal all the same.
  if (!(ready[0].revents & POLLIN)) {
    std::lock_guard lock(outcome->mutex);
    return not_started(*outcome, request);
  }
  sys::Fd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  auto terminal = connection ? sys::receive_fd(connection.get()) : sys::Fd();
  if (!terminal) return fail(Code::Unavailable, "the OCI runtime sent no terminal");
  outcome->hand_over(std::move(ended));
  return terminal;
}

}  // namespace watari::engine
