#pragma once
// A unix socket of a step's own that leads to an ssh agent: with the owner and mode that the step wants, gone with the step.
#include <filesystem>
#include <string>
#include <thread>

#include "base/result.h"
#include "builder/rooted.h"
#include "builder/stop_signal.h"
#include "sys/fd.h"

namespace watari::builder {

class AgentProxy {
 public:
  // Listens on `socket` (made here) and joins every connection with one to `agent`. FailedPrecondition when no agent answers there.
  static Result<AgentProxy> start(const std::filesystem::path& socket, const std::string& agent, Owner owner, std::uint32_t mode);
  AgentProxy(AgentProxy&&) = default;
  ~AgentProxy();

 private:
  AgentProxy() = default;
  std::unique_ptr<StopSignal> stop_ = std::make_unique<StopSignal>();
  std::jthread thread_;
};

}  // namespace watari::builder
