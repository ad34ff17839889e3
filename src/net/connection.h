#pragma once
// One client connection of the server: reads requests in turn, answers them. Internal to net/.
#include <boost/asio/awaitable.hpp>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "net/server.h"

namespace boost::asio {
class io_context;
}

namespace watari::net {

class Connection;

// What all connections of a server share. `connections` and `running_streams` are under `mutex`. A reply that comes after
// the server has stopped still finds the io_context here.
struct Shared {
  std::shared_ptr<boost::asio::io_context> io;
  ServerOptions options;
  std::map<std::string, Handler> plain;          // by prefix without a trailing '/'
  std::map<std::string, StreamHandler> streams;  // the same
  std::map<std::string, WebSocketHandler> websockets;  // the same; of upgrade requests only
  std::mutex mutex;
  std::condition_variable changed;
  std::set<Connection*> connections;
  std::size_t running_streams = 0;
  std::atomic<bool> stopping = false;
};

// Lives as long as its coroutine; every member function but cut() and nudge() runs on the connection's strand.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // Takes over a connected, non-blocking TCP socket; or, with `remote`, a Unix socket on which that client's bytes come (tls_relay.cc).
  static void start(int socket, std::shared_ptr<Shared> shared, std::string remote = {});
  virtual ~Connection() = default;
  virtual void nudge() = 0;  // any thread: when waiting for a next request, close
  virtual void cut() = 0;    // any thread: end now, whatever is running

 protected:
  virtual boost::asio::awaitable<void> run() = 0;
  // Counts the connection among the server's and runs it until it ends. `executor` is its strand.
  static void live(const boost::asio::any_io_executor& executor, std::shared_ptr<Shared> shared, std::shared_ptr<Connection> connection);
  static bool is_ipv6(int socket);
};

}  // namespace watari::net
