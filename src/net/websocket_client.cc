#include "net/websocket_client.h"

#include <poll.h>

#include "base/digest.h"
#include "base/id.h"
#include "base/strings.h"
#include "net/curl_library.h"

namespace watari::net {
namespace {

const CurlLibrary& lib() { return curl_library(); }

constexpr std::size_t kMaxMessage = 4 * 1024 * 1024;
constexpr int kPatience = 10'000;  // ms, for the upgrade and for a peer that takes nothing
enum Opcode : unsigned char { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

struct Frame {
  bool last = false;
  unsigned char opcode = 0;
  std::string payload;
};

// The first whole frame of `input`, taken out of it. A server's frames are not masked. Source: RFC 6455 section 5.2
Result<std::optional<Frame>> take_frame(std::string& input) {
  auto byte = [&](std::size_t at) { return static_cast<unsigned char>(input[at]); };
  if (input.size() < 2) return std::nullopt;
  std::size_t header = 2;
  std::uint64_t length = byte(1) & 0x7f;
  if (auto more = length == 126 ? 2u : length == 127 ? 8u : 0u) {
    header += more;
    if (input.size() < header) return std::nullopt;
    length = 0;
    for (std::size_t at = 2; at < header; ++at) length = length << 8 | byte(at);
  }
  if (byte(1) & 0x80 || length > kMaxMessage) return fail(Code::Corrupt, "the server sent a WebSocket frame that is none");
  if (input.size() < header + length) return std::nullopt;
  Frame frame{(byte(0) & 0x80) != 0, static_cast<unsigned char>(byte(0) & 0x0f), input.substr(header, length)};
  input.erase(0, header + length);
  return frame;
}

std::string make_frame(unsigned char opcode, std::string_view payload) {
  std::string out(1, static_cast<char>(0x80 | opcode));
  if (payload.size() < 126) {
    out.push_back(static_cast<char>(0x80 | payload.size()));
  } else {
    int bytes = payload.size() < 65536 ? 2 : 8;
    out.push_back(static_cast<char>(0x80 | (bytes == 2 ? 126 : 127)));
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) out.push_back(static_cast<char>(static_cast<std::uint64_t>(payload.size()) >> shift & 0xff));
  }
  auto mask = random_hex(4);  // unpredictable is what it has to be, and that it is
  out += mask;
  for (std::size_t i = 0; i < payload.size(); ++i) out.push_back(static_cast<char>(payload[i] ^ mask[i % 4]));
  return out;
}

}  // namespace

struct WebSocketClient::Impl {
  CURL* curl = nullptr;
  curl_socket_t socket = CURL_SOCKET_BAD;
  std::string input, message;

  ~Impl() {
    if (curl) lib().curl_easy_cleanup(curl);
  }

  Result<void> write(std::string_view bytes) {
    while (!bytes.empty()) {
      std::size_t count = 0;
      auto code = lib().curl_easy_send(curl, bytes.data(), bytes.size(), &count);
      bytes.remove_prefix(count);
      if (code == CURLE_OK) continue;
      pollfd ready{socket, POLLOUT, 0};
      if (code != CURLE_AGAIN || ::poll(&ready, 1, kPatience) <= 0) return fail(Code::Unavailable, "the connection broke: {}", lib().curl_easy_strerror(code));
    }
    return {};
  }

  // What is there now; false: nothing.
  Result<bool> read() {
    char bytes[16384];
    std::size_t count = 0;
    auto code = lib().curl_easy_recv(curl, bytes, sizeof bytes, &count);
    if (code == CURLE_AGAIN) return false;
    if (code != CURLE_OK || count == 0) return fail(Code::Unavailable, "the server closed the connection");
    input.append(bytes, count);
    return true;
  }

  Result<void> upgrade(const std::string& path, const std::string& host) {
    TRY_VOID(write(fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n", path,
                               host, base64(random_hex(16)))));
    std::size_t end;
    while ((end = input.find("\r\n\r\n")) == std::string::npos) {
      pollfd ready{socket, POLLIN, 0};
      if (::poll(&ready, 1, kPatience) <= 0) return fail(Code::DeadlineExceeded, "the server does not answer");
      TRY_VOID(read());
    }
    if (!input.starts_with("HTTP/1.1 101")) return fail(Code::Unavailable, "the server refused: {}", trim(std::string_view(input).substr(end)));
    input.erase(0, end + 4);
    return {};
  }
};

WebSocketClient::WebSocketClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WebSocketClient::~WebSocketClient() = default;
WebSocketClient::WebSocketClient(WebSocketClient&&) noexcept = default;

Result<WebSocketClient> WebSocketClient::connect(const std::string& url, const std::string& ca_file) {
  if (!url.starts_with("ws://") && !url.starts_with("wss://")) return fail(Code::InvalidArgument, "{} is no address of a WebSocket", url);
  auto rest = url.substr(url.find("//") + 2);
  auto slash = rest.find('/');
  auto host = rest.substr(0, slash), path = slash == std::string::npos ? "/" : rest.substr(slash);
  TRY_VOID(lib().library.ready());
  auto impl = std::make_unique<Impl>();
  impl->curl = lib().curl_easy_init();
  lib().curl_easy_setopt(impl->curl, CURLOPT_URL, ((url.starts_with("wss") ? "https://" : "http://") + host).c_str());
  lib().curl_easy_setopt(impl->curl, CURLOPT_CONNECT_ONLY, 1L);
  lib().curl_easy_setopt(impl->curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  lib().curl_easy_setopt(impl->curl, CURLOPT_PROXY, "");
  lib().curl_easy_setopt(impl->curl, CURLOPT_NOSIGNAL, 1L);
  if (!ca_file.empty()) lib().curl_easy_setopt(impl->curl, CURLOPT_CAINFO, ca_file.c_str());
  if (auto code = lib().curl_easy_perform(impl->curl); code != CURLE_OK) return fail(Code::Unavailable, "{}: {}", url, lib().curl_easy_strerror(code));
  lib().curl_easy_getinfo(impl->curl, CURLINFO_ACTIVESOCKET, &impl->socket);
  TRY_VOID(impl->upgrade(path, host));
  return WebSocketClient(std::move(impl));
}

int WebSocketClient::socket() const { return impl_->socket; }

Result<void> WebSocketClient::send(std::string_view message, bool text) { return impl_->write(make_frame(text ? kText : kBinary, message)); }

Result<std::optional<std::string>> WebSocketClient::receive() {
  for (;;) {
    TRY(auto frame, take_frame(impl_->input));
    if (!frame) {
      TRY(bool more, impl_->read());
      if (!more) return std::nullopt;
      continue;
    }
    if (frame->opcode == kClose) return fail(Code::Unavailable, "the server closed the connection");
    if (frame->opcode == kPing) {
      TRY_VOID(impl_->write(make_frame(kPong, frame->payload)));
    }
    if (frame->opcode == kPing || frame->opcode == kPong) continue;
    impl_->message += frame->payload;
    if (impl_->message.size() > kMaxMessage) return fail(Code::Corrupt, "the server sent a message that is too large");
    if (frame->last) return std::optional(std::exchange(impl_->message, {}));
  }
}

}  // namespace watari::net
