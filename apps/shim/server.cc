#include "server.h"

#include <sys/socket.h>

#include "codec/reflect.h"
#include "sys/files.h"

namespace watari::shim {
namespace {

using codec::Json;

constexpr std::size_t kMaxLine = 4 * 1024 * 1024;

}  // namespace

Server::Server(Container::Context context, sys::Fd listener) : context_(std::move(context)), listener_(std::move(listener)) {
  context_.loop.watch(listener_.get(), EPOLLIN, [this] { accept(); });
}

Server::~Server() {
  for (auto& [fd, client] : clients_) context_.loop.forget(fd);
}

void Server::accept() {
  sys::Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return;
  int fd = socket.get();
  clients_[fd].socket = std::move(socket);
  serials_[fd] = next_serial_++;
  context_.loop.watch(fd, EPOLLIN, [this, fd] { read(fd); });
}

void Server::drop(int fd) {
  context_.loop.forget(fd);
  clients_.erase(fd);
  serials_.erase(fd);
}

void Server::read(int fd) {
  char buffer[16384];
  for (;;) {
    auto n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) return drop(fd);
    clients_[fd].input.append(buffer, static_cast<std::size_t>(n));
  }
  if (clients_[fd].input.size() > kMaxLine) return drop(fd);
  // A handled line may end in the loss of the client.
  for (auto client = clients_.find(fd); client != clients_.end(); client = clients_.find(fd)) {
    auto newline = client->second.input.find('\n');
    if (newline == std::string::npos) return;
    auto line = client->second.input.substr(0, newline);
    client->second.input.erase(0, newline + 1);
    handle(fd, line);
  }
}

void Server::write(int fd) {
  auto found = clients_.find(fd);
  if (found == clients_.end()) return;
  auto& output = found->second.output;
  while (!output.empty()) {
    auto n = ::write(fd, output.data(), output.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return context_.loop.watch(fd, EPOLLIN | EPOLLOUT, [this, fd] {
      write(fd);
      if (clients_.contains(fd)) read(fd);
    });
    if (n <= 0) return;  // read() will see the end
    output.erase(0, static_cast<std::size_t>(n));
  }
  context_.loop.watch(fd, EPOLLIN, [this, fd] { read(fd); });
}

void Server::send(int fd, const Json& message) {
  auto found = clients_.find(fd);
  if (found == clients_.end()) return;
  found->second.output += message.dump() + "\n";
  write(fd);
}

void Server::reply(int fd, std::int64_t id, const Result<Json>& result) {
  auto message = Json::object({{"id", id}});
  if (result) {
    message.set("ok", *result);
  } else {
    message.set("error", Json::object({{"code", to_string(result.error().code)}, {"message", result.error().message}}));
  }
  send(fd, message);
}

void Server::handle(int fd, const std::string& line) {
  auto request = codec::parse_json(line);
  if (!request) return drop(fd);
  auto id = (*request)["id"].as_int();
  const auto& op = (*request)["op"].as_string();
  if (op == "exec") return exec(fd, id, (*request)["args"]);
  if (op == "subscribe") clients_[fd].subscribed = true;
  reply(fd, id, perform(op, (*request)["args"]));
}

Result<Json> Server::perform(const std::string& op, const Json& args) {
  if (op == "subscribe" || op == "containers") return codec::to_json(status());
  if (op == "run") return run(args);
  if (op == "signal") {
    TRY(auto wanted, codec::from_json<runtime::SignalRequest>(args));
    auto found = containers_.find(wanted.container);
    if (found == containers_.end()) return fail(Code::NotFound, "no container {}", wanted.container);
    found->second->signal(wanted.signal);
    return Json::object();
  }
  if (op == "shutdown") {
    for (const auto& [name, container] : containers_)
      if (container->lives()) return fail(Code::FailedPrecondition, "container {} still runs", name);
    context_.loop.after(Millis(1), [this] { context_.loop.stop(); });
    return Json::object();
  }
  return fail(Code::InvalidArgument, "unknown operation \"{}\"", op);
}

Result<Json> Server::run(const Json& args) {
  TRY(auto wanted, codec::from_json<runtime::RunRequest>(args));
  auto& container = containers_[wanted.container];
  if (container) return Json::object();
  container = std::make_unique<Container>(context_, wanted, [this](const runtime::ShimContainer& report) { changed(report); });
  changed(container->report());
  // After the reply, which should not wait for mounts.
  context_.loop.after(Millis(0), [raw = container.get()] { raw->start(); });
  return Json::object();
}

void Server::exec(int fd, std::int64_t id, const Json& args) {
  auto wanted = codec::from_json<runtime::ExecRequest>(args);
  if (!wanted) return reply(fd, id, fail(wanted.error()));
  auto found = containers_.find(wanted->container);
  if (found == containers_.end()) return reply(fd, id, fail(Code::NotFound, "no container {}", wanted->container));
  found->second->exec(*wanted, [this, fd, id, serial = serials_[fd]](Result<runtime::ExecReply> done) {
    if (auto now = serials_.find(fd); now == serials_.end() || now->second != serial) return;
    if (done)
      reply(fd, id, codec::to_json(*done));
    else
      reply(fd, id, fail(done.error()));
  });
}

runtime::ShimStatus Server::status() const {
  runtime::ShimStatus out{.pid = ::getpid(), .containers = {}};
  for (const auto& [name, container] : containers_) out.containers.push_back(container->report());
  return out;
}

void Server::changed(const runtime::ShimContainer& container) {
  // Before anybody is told: what was told must be found by whoever comes after us. tmpfs: nothing to sync.
  (void)sys::replace_file(runtime::status_file(context_.directory), codec::to_json(status()).dump(), 0600);
  auto event = Json::object({{"event", "container"}, {"container", codec::to_json(container)}});
  std::vector<int> subscribers;
  for (const auto& [fd, client] : clients_)
    if (client.subscribed) subscribers.push_back(fd);
  for (int fd : subscribers) send(fd, event);
}

}  // namespace watari::shim
