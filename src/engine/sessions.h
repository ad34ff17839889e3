#pragma once
// Terminals in running containers, for people: what ExecuteCommand and StartSession hand out, and the WebSocket at which
// session-manager-plugin, ecspresso and `watari exec -it` then arrive. The daemon plays the agent; nothing runs in the container
// but the command.
//
//   create() -> the client connects and shows the token -> handshake -> terminal <-> data channel -> the command ends or the
//   client goes (which hangs up the terminal)
//
// Sessions live in memory: they end with the daemon. Owner: the engine. Any thread; one thread a connected session.
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html and net/data_channel.h
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "engine/terminals.h"
#include "net/websocket.h"

namespace watari::engine {

class Sessions {
 public:
  static constexpr std::size_t kMost = 128;          // at a time
  static constexpr Seconds kConnectWithin{60};       // else the session is dropped; again for the token, once connected
  static constexpr std::string_view kPath = "/watari/sessions";

  Sessions(Terminals& terminals, const Clock& clock) : terminals_(terminals), clock_(clock) {}
  ~Sessions() { stop(); }

  struct Order {
    std::string task, container;
    std::vector<std::string> argv;
    std::string principal;  // ARN of who asked, for the log
  };
  struct Opened {
    std::string id, token;
  };
  Result<Opened> create(Order order);             // ResourceExhausted
  bool terminate(const std::string& id);          // false: there is none
  net::WebSocketHandler handler();                // of kPath
  void stop();                                    // ends all of them and joins

 private:
  class Session;
  void drop_ended();

  Terminals& terminals_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Session>> sessions_;
};

}  // namespace watari::engine
