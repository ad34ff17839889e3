#include "support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>

#include "base/strings.h"

namespace watari::balancer::testing {

namespace {

int run(const std::string& command) { return std::system((command + " 2>/dev/null").c_str()); }

// Reads one HTTP message; nullopt when the connection ended before it was whole.
std::optional<std::string> read_message(int fd, std::string& rest) {
  auto more = [&] {
    char buffer[16384];
    auto n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    rest.append(buffer, static_cast<std::size_t>(n));
    return true;
  };
  std::size_t end;
  while ((end = rest.find("\r\n\r\n")) == std::string::npos)
    if (!more()) return std::nullopt;
  std::size_t length = 0;
  auto head = to_lower(rest.substr(0, end + 2));
  if (auto at = head.find("\r\ncontent-length:"); at != std::string::npos) {
    auto value = head.substr(at + 17);
    length = parse_number<std::size_t>(trim(value.substr(0, value.find("\r\n")))).value_or(0);
  }
  while (rest.size() < end + 4 + length)
    if (!more()) return std::nullopt;
  auto message = rest.substr(0, end + 4 + length);
  rest.erase(0, end + 4 + length);
  return message;
}

bool write_all(int fd, const std::string& text) {
  return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

}  // namespace

Namespace::Namespace(std::string name) : name_(std::move(name)) {
  if (run("ip netns add " + name_ + " && ip -n " + name_ + " link set lo up") != 0)
    throw std::runtime_error("cannot make network namespace " + name_);
}
void Namespace::add_address(const std::string& address) {
  if (run("ip -n " + name_ + " address add " + address + "/32 dev lo") != 0) throw std::runtime_error("cannot add the address " + address);
}
Namespace::~Namespace() { run("ip netns del " + name_); }
bool Namespace::possible() { return ::geteuid() == 0 && run("ip netns list >/dev/null") == 0; }

HttpServer::HttpServer(const Namespace& space, std::string at, int on, std::string name)
    : address(std::move(at)), port(on), name_(std::move(name)) {
  // A socket belongs to the namespace in which it was made: a thread of its own enters it.
  std::thread([&] {
    int fd = ::open(("/run/netns/" + space.name()).c_str(), O_RDONLY | O_CLOEXEC);
    if (::setns(fd, CLONE_NEWNET) == 0) listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ::close(fd);
  }).join();
  int reuse = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, address.c_str(), &where.sin_addr);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 || ::listen(listener_, 512) != 0)
    throw std::runtime_error("cannot listen on " + address);
  threads_.emplace_back([this] { accept_loop(); });
}

void HttpServer::accept_loop() {
  for (;;) {
    int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    std::scoped_lock lock(mutex_);
    if (fd < 0 || dead_) {
      if (fd >= 0) ::close(fd);
      return;
    }
    open_.insert(fd);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void HttpServer::serve(int fd) {
  std::string rest;
  while (auto request = read_message(fd, rest)) {
    auto path = request->substr(request->find(' ') + 1);
    path = path.substr(0, path.find(' '));
    int status = 200;
    std::string body = name_;
    if (path == "/health") status = health.load();
    else ++requests;
    if (path == "/echo") body = *request;
    if (path == "/slow")
      for (auto left = slow_ms.load(); left > 0 && !dead_; left -= 10) std::this_thread::sleep_for(std::chrono::milliseconds(std::min(left, 10)));
    if (dead_) break;
    if (!write_all(fd, "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(body.size()) +
                           "\r\n\r\n" + body))
      break;
    if (to_lower(*request).contains("connection: close")) break;
  }
  std::scoped_lock lock(mutex_);
  if (open_.erase(fd)) ::close(fd);
}

void HttpServer::kill() {
  if (dead_.exchange(true)) return;
  ::shutdown(listener_, SHUT_RDWR);
  {
    std::scoped_lock lock(mutex_);
    for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  threads_.front().join();
  ::close(listener_);
  for (std::size_t i = 1; i < threads_.size(); ++i) threads_[i].join();
}

bool Client::connect() {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(static_cast<std::uint16_t>(port_));
  ::inet_pton(AF_INET, address_.c_str(), &where.sin_addr);
  timeval limit{10, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return ::connect(fd_, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0;
}

void Client::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::optional<Answer> Client::send(const std::string& request) {
  if (fd_ < 0 && !connect()) {
    close();
    return std::nullopt;
  }
  std::string rest;
  std::optional<std::string> message;
  if (write_all(fd_, request)) message = read_message(fd_, rest);
  if (!message) {
    close();
    return std::nullopt;
  }
  Answer answer;
  answer.status = parse_number<int>(std::string_view(*message).substr(9, 3)).value_or(0);
  auto end = message->find("\r\n\r\n");
  answer.body = message->substr(end + 4);
  for (const auto& line : split(message->substr(0, end), '\n'))
    if (auto colon = line.find(": "); colon != std::string::npos)
      answer.headers[to_lower(line.substr(0, colon))] = std::string(trim(line.substr(colon + 2)));
  if (to_lower(answer.headers["connection"]) == "close") close();
  return answer;
}

std::optional<Answer> Client::get(const std::string& path, const std::string& host, const std::string& headers) {
  return send("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + headers + "\r\n");
}

Load::Load(int port, int connections, std::string method) {
  for (int i = 0; i < connections; ++i)
    threads_.emplace_back([this, port, method] {
      Client client(port);
      while (!ending_) {
        auto answer = client.send(method + " / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        ++sent;
        if (!answer || answer->status != 200) ++failed;
        std::scoped_lock lock(mutex_);
        ++answers_[!answer ? "broken" : answer->status == 200 ? answer->body : "status " + std::to_string(answer->status)];
      }
    });
}

void Load::stop() {
  ending_ = true;
  for (auto& thread : threads_)
    if (thread.joinable()) thread.join();
}

std::map<std::string, int> Load::answers() {
  std::scoped_lock lock(mutex_);
  return answers_;
}

}  // namespace watari::balancer::testing
