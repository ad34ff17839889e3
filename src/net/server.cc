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

  Result<void> open() {
    const auto& options = shared_->options;
    error_code error;
    auto address = asio::ip::make_address(options.address, error);
    if (error) return fail(Code::InvalidArgument, "{} is no IP address to listen on", options.address);
    tcp::endpoint endpoint(address, options.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.native_non_blocking(true, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error == asio::error::address_in_use) return taken(address.is_v6());
    if (error)
      return fail(Code::Unavailable, "cannot listen on {}:{}: {}", options.address, options.port, error.message());
    return {};
  }

  void route(std::string prefix, Handler handler) override {
    shared_->plain[without_slash(std::move(prefix))] = std::move(handler);
  }
  void route_stream(std::string prefix, StreamHandler handler) override {
    shared_->streams[without_slash(std::move(prefix))] = std::move(handler);
  }

  void start() override {
    accept();
    for (std::size_t i = 0; i < std::max<std::size_t>(1, shared_->options.threads); ++i) {
      threads_.emplace_back([this] { shared_->io->run(); });
      ::pthread_setname_np(threads_.back().native_handle(), "http");
    }
  }

  void stop() override {
    if (shared_->stopping.exchange(true)) return;
    if (threads_.empty()) return;
    asio::post(acceptor_.get_executor(), [this] {
      error_code ignored;
      acceptor_.close(ignored);
      retry_.cancel();
    });
    end_connections();
    work_.reset();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }

  std::uint16_t port() const override {
    error_code ignored;
    return acceptor_.local_endpoint(ignored).port();
  }

 private:
  static std::shared_ptr<Shared> make_shared() {
    auto shared = std::make_shared<Shared>();
    shared->io = std::make_shared<asio::io_context>();
    return shared;
  }

  tl::unexpected<Error> taken(bool v6) {
    const auto& options = shared_->options;
    auto place = fmt::format("{}:{}", v6 ? "[" + options.address + "]" : options.address, options.port);
    auto holder = port_holder(options.port);
    return fail(Code::Unavailable, "{} is taken{}: stop what listens there, or choose another port (--listen ADDRESS:PORT)",
                place, holder.empty() ? "" : " by " + holder);
  }

  void accept() {
    acceptor_.async_wait(tcp::acceptor::wait_read, [this](error_code error) {
      if (shared_->stopping || error == asio::error::operation_aborted) return;
      int socket = ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (socket < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) return accept_later();
      if (socket >= 0 && has_room()) Connection::start(socket, shared_);
      else if (socket >= 0) ::close(socket);
      accept();
    });
  }

  // Out of file descriptors or memory: wait until some are free again.
  void accept_later() {
    log::warn("cannot accept a connection: {}", std::strerror(errno));
    retry_.expires_after(Millis(100));
    retry_.async_wait([this](error_code cancelled) {
      if (!cancelled) accept();
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
  tcp::acceptor acceptor_{*shared_->io};
  asio::steady_timer retry_{*shared_->io};
  std::vector<std::thread> threads_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::listen(ServerOptions options) {
  auto server = std::make_unique<ServerImpl>(std::move(options));
  TRY_VOID(server->open());
  return server;
}

}  // namespace watari::net
