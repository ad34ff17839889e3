#include "cli/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/id.h"
#include "base/strings.h"
#include "net/data_channel.h"
#include "net/websocket_client.h"

namespace watari::cli {
namespace {

using codec::Json;
using net::Payload;

// While this lives, keys arrive as they are pressed, Ctrl-C included.
class RawTerminal {
 public:
  RawTerminal() {
    if (::tcgetattr(0, &before_) != 0) return;
    raw_ = true;
    auto now = before_;
    ::cfmakeraw(&now);
    ::tcsetattr(0, TCSANOW, &now);
  }
  ~RawTerminal() {
    if (raw_) ::tcsetattr(0, TCSANOW, &before_);
  }

 private:
  termios before_{};
  bool raw_ = false;
};

class Session {
 public:
  explicit Session(net::WebSocketClient socket) : socket_(std::move(socket)) {}

  Result<int> run(const std::string& token) {
    auto hello = Json::object({{"MessageSchemaVersion", "1.0"}, {"RequestId", random_hex(32)}, {"TokenValue", token}, {"ClientVersion", "watari"}});
    TRY_VOID(socket_.send(hello.dump(), true));
    bool input = true;
    while (!closed_) {
      pollfd ready[2] = {{socket_.socket(), POLLIN, 0}, {input && ready_ && !channel_.full() ? 0 : -1, POLLIN, 0}};
      (void)::poll(ready, 2, 100);
      TRY_VOID(take_messages());
      if (ready[1].revents) {
        TRY(input, read_keys());
      }
      TRY_VOID(tell_size());
      for (const auto& bytes : channel_.due(clock_.now())) TRY_VOID(socket_.send(bytes, false));
    }
    if (!last_words_.empty()) return fail(Code::FailedPrecondition, "{}", last_words_);
    return exit_code_;
  }

 private:
  Result<void> send(Payload type, std::string payload) { return socket_.send(channel_.send(type, std::move(payload), clock_.now()), false); }

  Result<void> take_messages() {
    while (!closed_) {
      auto bytes = socket_.receive();
      if (!bytes) {
        closed_ = true;
        return exit_code_ >= 0 ? Result<void>{} : fail(bytes.error());
      }
      if (!*bytes) return {};
      TRY(auto received, channel_.receive(**bytes, clock_.now()));
      if (!received.reply.empty()) TRY_VOID(socket_.send(received.reply, false));
      if (received.message) TRY_VOID(handle(*received.message));
    }
    return {};
  }

  Result<void> handle(const net::ChannelMessage& message) {
    if (message.type == net::kChannelClosed) {
      closed_ = true;
      TRY(auto content, codec::parse_json(message.payload));
      last_words_ = content["Output"].as_string();
      return {};
    }
    switch (message.payload_type) {
      case Payload::HandshakeRequest: {
        auto action = Json::object({{"ActionType", "SessionType"}, {"ActionStatus", 1}, {"ActionResult", Json()}, {"Error", ""}});
        return send(Payload::HandshakeResponse, Json::object({{"ClientVersion", "watari"}, {"ProcessedClientActions", Json::array({action})}, {"Errors", Json::array()}}).dump());
      }
      case Payload::HandshakeComplete: ready_ = true; return {};
      case Payload::Output:
      case Payload::StdErr: return print(message.payload);
      case Payload::ExitCode: exit_code_ = parse_number<int>(message.payload).value_or(255); return {};
      default: return {};
    }
  }

  Result<void> print(std::string_view text) {
    while (!text.empty()) {
      auto count = ::write(1, text.data(), text.size());
      if (count < 0) return fail(Code::Unavailable, "cannot write the output");
      text.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
  }

  // False at the end of a file: the command is told so as a terminal does, by Ctrl-D.
  Result<bool> read_keys() {
    char keys[2048];
    auto count = ::read(0, keys, sizeof keys);
    if (count <= 0) {
      TRY_VOID(send(Payload::Output, "\x04"));
      return false;
    }
    TRY_VOID(send(Payload::Output, std::string(keys, static_cast<std::size_t>(count))));
    return true;
  }

  Result<void> tell_size() {
    winsize size{};
    if (!ready_ || ::ioctl(1, TIOCGWINSZ, &size) != 0 || (size.ws_col == told_.ws_col && size.ws_row == told_.ws_row)) return {};
    told_ = size;
    return send(Payload::Size, Json::object({{"cols", size.ws_col}, {"rows", size.ws_row}}).dump());
  }

  net::WebSocketClient socket_;
  net::DataChannel channel_{net::kInputStream, net::kOutputStream};
  SystemClock clock_;
  bool ready_ = false, closed_ = false;
  int exit_code_ = -1;
  winsize told_{};
  std::string last_words_;
};

}  // namespace

Result<int> run_session(const Client& client, const Json& session) {
  const auto& root = client.place().root;
  const char* bundle = std::getenv("AWS_CA_BUNDLE");
  auto authority = root.empty() ? std::string(bundle ? bundle : "") : root + "/ca.pem";
  const auto& url = session["streamUrl"].as_string();
  TRY(auto socket, net::WebSocketClient::connect(url, url.starts_with("wss:") ? authority : ""));
  RawTerminal raw;
  return Session(std::move(socket)).run(session["tokenValue"].as_string());
}

}  // namespace watari::cli
