#include "net/server.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/log.h"
#include "net/connection.h"
#include "net/port_holder.h"
#include "net/tls.h"

namespace watari::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

std::string without_slash(std::string prefix) {
  while (prefix.ends_with('/')) prefix.pop_back();
  return prefix;
}

class ServerImpl final : public Server {
 public:
  explicit ServerImpl(ServerOptions options) { shared_->options = std::move(options); }
  ~ServerImpl() override { stop(); }

  Result<std::uint16_t> also_listen(const std::string& address, std::uint16_t port, std::string_view option) override {
    auto& door = *doors_.emplace_back(std::make_unique<Door>(*shared_->io));
    TRY_VOID(open(door, address, port, option));
    return port_of(door);
  }

  void route(std::string prefix, Handler handler) override {
    shared_->plain[without_slash(std::move(prefix))] = std::move(handler);
  }
  void route_stream(std::string prefix, StreamHandler handler) override {
    shared_->streams[without_slash(std::move(prefix))] = std::move(handler);
  }
  void route_websocket(std::string prefix, WebSocketHandler handler) override {
    shared_->websockets[without_slash(std::move(prefix))] = std::move(handler);
  }

  void start() override {
    for (auto& door : doors_) accept(*door);
    for (std::size_t i = 0; i < std::max<std::size_t>(1, shared_->options.threads); ++i) {
      threads_.emplace_back([this] { shared_->io->run(); });
      ::pthread_setname_np(threads_.back().native_handle(), "http");
    }
  }

  void stop() override {
    if (shared_->stopping.exchange(true)) return;
    if (threads_.empty()) return;
    asio::post(*shared_->io, [this] {
      error_code ignored;
      for (auto& door : doors_) {
        door->acceptor.close(ignored);
        door->retry.cancel();
      }
    });
    end_connections();
    work_.reset();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }

  std::uint16_t port() const override { return port_of(*doors_.front()); }

 private:
  // An address that is listened on.
  struct Door {
    explicit Door(asio::io_context& io) : acceptor(io), retry(io) {}
    tcp::acceptor acceptor;
    asio::steady_timer retry;
  };

  static std::uint16_t port_of(const Door& door) {
    error_code ignored;
    return door.acceptor.local_endpoint(ignored).port();
  }

  Result<void> open(Door& door, const std::string& host, std::uint16_t port, std::string_view option) {
    error_code error;
    auto address = asio::ip::make_address(host, error);
    if (error) return fail(Code::InvalidArgument, "{} is no IP address to listen on", host);
    tcp::endpoint endpoint(address, port);
    door.acceptor.open(endpoint.protocol(), error);
    if (!error) door.acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) door.acceptor.bind(endpoint, error);
    if (!error) door.acceptor.native_non_blocking(true, error);
    if (!error) door.acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error == asio::error::address_in_use) return taken(address.is_v6() ? "[" + host + "]" : host, port, option);
    if (error) return fail(Code::Unavailable, "cannot listen on {}:{}: {}", host, port, error.message());
    return {};
  }

  static std::shared_ptr<Shared> make_shared() {
    auto shared = std::make_shared<Shared>();
    shared->io = std::make_shared<asio::io_context>();
    return shared;
  }

  static tl::unexpected<Error> taken(const std::string& host, std::uint16_t port, std::string_view option) {
    auto holder = port_holder(port);
    return fail(Code::Unavailable, "{}:{} is taken{}: stop what listens there, or choose another port ({} ADDRESS:PORT)",
                host, port, holder.empty() ? "" : " by " + holder, option);
  }

  void accept(Door& door) {
    door.acceptor.async_wait(tcp::acceptor::wait_read, [this, &door](error_code error) {
      if (shared_->stopping || error == asio::error::operation_aborted) return;
      int socket = ::accept4(door.acceptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (socket < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) return accept_later(door);
      if (socket >= 0 && !has_room()) ::close(socket);
      else if (socket >= 0 && shared_->options.certificates) start_sniffed(socket, shared_);
      else if (socket >= 0) Connection::start(socket, shared_);
      accept(door);
    });
  }

  // Out of file descriptors or memory: wait until some are free again.
  void accept_later(Door& door) {
    log::warn("cannot accept a connection: {}", std::strerror(errno));
    door.retry.expires_after(Millis(100));
    door.retry.async_wait([this, &door](error_code cancelled) {
      if (!cancelled) accept(door);
    });
  }

  bool has_room() {
    std::lock_guard lock(shared_->mutex);
    return shared_->connections.size() < shared_->options.max_connections;
  }

  // Idle connections are closed, busy ones may finish, late ones are cut. The lock keeps a connection from going away
  // between being found and being told.
  void end_connections() {
    std::unique_lock lock(shared_->mutex);
    auto none = [this] { return shared_->connections.empty(); };
    for (auto* connection : shared_->connections) connection->nudge();
    if (shared_->changed.wait_for(lock, Seconds(5), none)) return;
    while (!none()) {
      for (auto* connection : shared_->connections) connection->cut();
      shared_->changed.wait_for(lock, Millis(200), none);
    }
  }

  std::shared_ptr<Shared> shared_ = make_shared();
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(*shared_->io);
  std::vector<std::unique_ptr<Door>> doors_;
  std::vector<std::thread> threads_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::listen(ServerOptions options) {
  const auto address = options.address;
  const auto port = options.port;
  auto server = std::make_unique<ServerImpl>(std::move(options));
  TRY_VOID(server->also_listen(address, port, "--listen"));
  return server;
}

}  // namespace watari::net
