#pragma once
// What an engine implements besides engine.h when people can open terminals in its containers.
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace watari::engine {

class Sessions;

class Terminals {
 public:
  virtual ~Terminals() = default;

  // As Engine::exec, with a terminal: returns the end that a person types into; closing it hangs up. `ended` is called once, on an
  // engine thread, with the exit code, also after that. Blocking until the terminal is there; fails, without a call of `ended`, with
  // the runtime's words when the command cannot be started.
  virtual Result<sys::Fd> open_terminal(const std::string& task, const std::string& container, const std::vector<std::string>& argv,
                                        std::function<void(int exit_code)> ended) = 0;

  virtual Sessions& sessions() = 0;  // of people, each with such a terminal; engine/sessions.h
};

}  // namespace watari::engine
