#pragma once
// The shim's socket: docs/formats/shim-protocol.md. One thread, the event loop's.
#include <map>
#include <memory>
#include <string>

#include "codec/json.h"
#include "container.h"
#include "event_loop.h"
#include "sys/fd.h"

namespace watari::shim {

class Server {
 public:
  Server(Container::Context context, sys::Fd listener);
  ~Server();

 private:
  struct Client {
    sys::Fd socket;
    std::string input, output;
    bool subscribed = false;
  };
  void accept();
  void read(int fd);
  void write(int fd);
  void drop(int fd);
  void handle(int fd, const std::string& line);
  Result<codec::Json> perform(const std::string& op, const codec::Json& args);
  void exec(int fd, std::int64_t id, const codec::Json& args);
  void reply(int fd, std::int64_t id, const Result<codec::Json>& result);
  void send(int fd, const codec::Json& message);
  void changed(const runtime::ShimContainer& container);
  runtime::ShimStatus status() const;
  Result<codec::Json> run(const codec::Json& args);

  Container::Context context_;
  sys::Fd listener_;
  std::map<int, Client> clients_;
  std::map<std::string, std::unique_ptr<Container>> containers_;
  std::map<int, std::uint64_t> serials_;  // of the connection that has the descriptor now; replies to earlier ones are dropped
  std::uint64_t next_serial_ = 1;
};

}  // namespace watari::shim
