#pragma once
// The daemon's side of the shim protocol (docs/formats/shim-protocol.md): one connection to one shim.
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "codec/json.h"
#include "runtime/shim_protocol.h"
#include "sys/process.h"

namespace watari::runtime {

// A shim on its way, in two steps, since moving into a cgroup can take the kernel 15 ms, in which the network can be made. Pool thread.
class ShimStart {
 public:
  // Starts a shim for the task directory, which has its setup.json; the namespaces that it names need not be there yet.
  static Result<ShimStart> begin(const std::string& program, const std::string& directory);
  // Everything is there: returns when the shim is in the background; from then on connect() works. Unavailable with what the
  // shim said on stderr when it could not set itself up.
  Result<void> finish();
  ~ShimStart();  // without finish(): the shim ends
  ShimStart(ShimStart&&) = default;
  ShimStart& operator=(ShimStart&&) = delete;

 private:
  ShimStart() = default;
  sys::Child child_;
  sys::Fd errors_, go_;
};

// A connection. Owns a thread that reads; callbacks come on it, one at a time. Any thread may call; no call blocks but the destructor,
// which waits for a running callback (so it must not be destroyed by one).
class ShimClient {
 public:
  using Reply = std::function<void(Result<codec::Json>)>;
  struct Handlers {
    std::function<void(const ShimContainer&)> changed;
    // The shim is gone, or talks nonsense. Called once; pending replies failed with Unavailable before.
    std::function<void()> lost;
  };

  // Unavailable when nobody listens there: the shim is dead.
  static Result<std::unique_ptr<ShimClient>> connect(const std::string& directory, Handlers handlers);
  ~ShimClient();
  ShimClient(const ShimClient&) = delete;
  ShimClient& operator=(const ShimClient&) = delete;

  void call(const std::string& op, codec::Json args, Reply reply);
  // Waits for the answer. Not on the callback thread.
  Result<codec::Json> ask(const std::string& op, codec::Json args, Millis timeout);

 private:
  struct Impl;
  explicit ShimClient(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace watari::runtime
