#include "net/plain_client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>

#include "base/strings.h"
#include "sys/fd.h"

namespace watari::net {
namespace {

namespace http = boost::beast::http;
using Steady = std::chrono::steady_clock;
using Parser = http::response_parser<http::string_body>;
using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

struct Address {
  std::string authority, host, port, target;
};

std::optional<Address> parse(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return std::nullopt;
  url.remove_prefix(kScheme.size());
  auto end = std::min(url.find_first_of("/?"), url.size());
  Address address{.authority = std::string(url.substr(0, end)), .target = std::string(url.substr(end))};
  if (!address.target.starts_with('/')) address.target.insert(0, "/");
  const auto& all = address.authority;
  auto colon = all.find(':', all.starts_with('[') ? std::min(all.find(']'), all.size()) : 0);
  address.host = all.substr(0, colon);
  address.port = colon == all.npos ? "80" : all.substr(colon + 1);
  if (address.host.starts_with('[')) address.host = address.host.substr(1, address.host.size() - 2);
  if (all.contains('@') || !parse_number<std::uint16_t>(address.port)) return std::nullopt;
  return address;
}

class Deadline {
 public:
  explicit Deadline(Millis timeout) : at_(Steady::now() + timeout) {}
  // Whether the socket can be read or written in time.
  bool wait(int socket, short events) const {
    while (true) {
      auto left = std::chrono::ceil<Millis>(at_ - Steady::now()).count();
      pollfd ready{socket, events, 0};
      auto count = left <= 0 ? 0 : ::poll(&ready, 1, static_cast<int>(std::min<std::int64_t>(left, 1'000'000)));
      if (count > 0 || left <= 0) return count > 0;
      if (count < 0 && errno != EINTR) return false;
    }
  }

 private:
  Steady::time_point at_;
};

struct Connection {
  sys::Fd socket;
  std::string authority;
};

class Exchange {
 public:
  Exchange(const Request& request, const Address& address, const FetchOptions& options)
      : request_(request), address_(address), options_(options), deadline_(options.timeout) {}

  // A kept connection may turn out to be closed before a byte of the answer has come: then once more, on a new one.
  Result<Response> run(Connection& kept) {
    bool again = kept.socket && kept.authority == address_.authority && !options_.body_source;  // which can be asked once only
    if (!again) TRY_VOID(connect(kept));
    auto response = attempt(kept);
    if (!response && again && !answered_ && response.error().code == Code::Unavailable) {
      TRY_VOID(connect(kept));
      response = attempt(kept);
    }
    if (!response) kept = {};
    return response;
  }

 private:
  Result<void> connect(Connection& kept) {
    kept = {};
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    if (int problem = ::getaddrinfo(address_.host.c_str(), address_.port.c_str(), &hints, &found); problem != 0) return fail(unavailable(::gai_strerror(problem), "refused"));
    Addresses addresses(found, &::freeaddrinfo);
    int problem = 0;
    for (const auto* each = found; each; each = each->ai_next) {
      sys::Fd socket(::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (::connect(socket.get(), each->ai_addr, each->ai_addrlen) != 0 && errno == EINPROGRESS && !deadline_.wait(socket.get(), POLLOUT)) return fail(too_late());
      socklen_t size = sizeof problem;
      ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
      sockaddr_storage peer{};
      socklen_t length = sizeof peer;
      if (problem == 0 && ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &length) != 0) problem = ECONNREFUSED;
      if (problem != 0) continue;
      int on = 1;
      ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      kept = {std::move(socket), address_.authority};
      return {};
    }
    return fail(unavailable(std::strerror(problem), "refused"));
  }

  Result<Response> attempt(Connection& kept) {
    TRY_VOID(send(kept.socket.get()));
    Parser parser;
    parser.body_limit(std::uint64_t{1} << 31);
    if (request_.method == "HEAD") parser.skip(true);
    TRY_VOID(receive(kept.socket.get(), parser));
    auto& message = parser.get();
    if (!message.keep_alive()) kept = {};
    Response response{.status = static_cast<int>(message.result_int())};
    for (const auto& field : message) response.headers.add(std::string(field.name_string()), std::string(field.value()));
    response.body = std::move(message.body());
    return response;
  }

  Result<void> send(int socket) {
    auto size = options_.body_source ? options_.body_size : static_cast<std::int64_t>(request_.body.size());
    auto head = fmt::format("{} {} HTTP/1.1\r\n", request_.method, address_.target);
    if (!request_.headers.find("host")) head += fmt::format("Host: {}\r\n", address_.authority);
    for (const auto& [name, value] : request_.headers.items()) head += fmt::format("{}: {}\r\n", name, value);
    head += fmt::format("Content-Length: {}\r\n\r\n", size);
    if (!options_.body_source) return send_bytes(socket, head + request_.body).map([](bool) {});
    TRY(bool taken, send_bytes(socket, head + options_.body_source()));
    while (taken) {
      auto piece = options_.body_source();
      if (piece.empty()) break;
      TRY(taken, send_bytes(socket, piece));
    }
    return {};
  }

  // False when the server takes no more of a streamed body: it has answered already.
  Result<bool> send_bytes(int socket, std::string_view rest) {
    while (!rest.empty()) {
      auto count = ::send(socket, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (count < 0 && options_.body_source && (errno == EPIPE || errno == ECONNRESET)) return false;
      if (count < 0 && errno != EAGAIN && errno != EINTR) return fail(unavailable(std::strerror(errno)));
      if (count < 0 && !deadline_.wait(socket, POLLOUT)) return fail(too_late());
      if (count > 0) rest.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  Result<void> receive(int socket, Parser& parser) {
    parser.eager(true);
    std::string pending;
    std::array<char, 65536> piece;
    while (!parser.is_done()) {
      if (!deadline_.wait(socket, POLLIN)) return fail(too_late());
      auto count = ::recv(socket, piece.data(), piece.size(), 0);
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (count < 0) return fail(unavailable(std::strerror(errno)));
      boost::system::error_code problem;
      if (count == 0) {
        if (!answered_) return fail(unavailable("the server closed the connection"));
        parser.put_eof(problem);
        if (problem || !parser.is_done()) return fail(unavailable("the server closed the connection within its answer"));
        return {};
      }
      answered_ = true;
      pending.append(piece.data(), static_cast<std::size_t>(count));
      pending.erase(0, parser.put(boost::asio::buffer(pending), problem));
      if (problem && problem != http::error::need_more) return fail(unavailable(problem.message()));
    }
    return {};
  }

  Error unavailable(std::string_view why, std::string reason = "") const {
    return {Code::Unavailable, fmt::format("{} {}: {}", request_.method, request_.target, why), std::move(reason)};
  }
  Error too_late() const {
    return {Code::DeadlineExceeded, fmt::format("{} {}: no answer within {} ms", request_.method, request_.target, options_.timeout.count())};
  }

  const Request& request_;
  const Address& address_;
  const FetchOptions& options_;
  Deadline deadline_;
  bool answered_ = false;
};

}  // namespace

bool is_plain_and_local(std::string_view url) {
  auto address = parse(url);
  return address && (address->host.starts_with("127.") || address->host == "localhost" || address->host == "::1");
}

Result<Response> fetch_plainly(const Request& request, const FetchOptions& options) {
  auto address = parse(request.target);
  if (!address) return fail(Code::InvalidArgument, "{} is no address of a plain HTTP server", request.target);
  thread_local Connection kept;
  return Exchange(request, *address, options).run(kept);
}

}  // namespace watari::net
