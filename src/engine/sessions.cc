#include "engine/sessions.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <atomic>
#include <deque>
#include <optional>
#include <thread>

#include "base/id.h"
#include "base/log.h"
#include "codec/json.h"
#include "net/data_channel.h"

namespace watari::engine {
namespace {

using codec::Json;
using net::Payload;

constexpr std::size_t kPiece = 4096;            // of output in one message
constexpr std::size_t kMostInput = 256 * 1024;  // not yet taken by the command; a client that sends more is cut off
constexpr Seconds kLastWords{3};                // after the end, for output that is not acknowledged yet
constexpr auto kVersion = "3.2.2582.0";         // of the agent whose protocol this is

std::string handshake_request() {
  auto action = Json::object({{"ActionType", "SessionType"}, {"ActionParameters", Json::object({{"SessionType", "InteractiveCommands"}, {"Properties", Json()}})}});
  auto actions = Json::array();
  actions.push(std::move(action));
  return Json::object({{"AgentVersion", kVersion}, {"RequestedClientActions", std::move(actions)}}).dump();
}

}  // namespace

// One session from its order to its end. `message` and `closed` come from the server's threads; everything else is the session's own
// thread's, which the first connection starts.
class Sessions::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::string id, std::string token, Order order, Terminals& terminals, const Clock& clock)
      : id_(std::move(id)), token_(std::move(token)), order_(std::move(order)), terminals_(terminals), clock_(clock), made_(clock.now()) {
    wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
  ~Session() { join(); }

  // Once: a session that somebody has, nobody else gets.
  bool connect(std::shared_ptr<net::WebSocket> socket) {
    if (connected_.exchange(true)) return false;
    socket_ = std::move(socket);
    came_ = clock_.now();
    thread_ = std::thread([this] { run(); });
    return true;
  }
  void message(std::string bytes) {
    std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(bytes));
    poke();
  }
  void end() {
    gone_ = true;
    poke();
  }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  bool over(Time now) const { return connected_ ? done_.load() : now >= made_ + kConnectWithin; }
  const std::string& token() const { return token_; }

 private:
  void poke() { (void)::eventfd_write(wake_.get(), 1); }

  void run() {
    log::info("session {}: {} in container {} of task {}, for {}", id_, order_.argv.front(), order_.container, order_.task, order_.principal);
    while (!gone_ && !finished()) {
      wait();
      take_messages();
      if (!admitted_ && !refused_ && clock_.now() >= came_ + kConnectWithin) refuse("the token was not shown");
      read_terminal();
      write_terminal();
      for (auto& bytes : channel_.due(clock_.now())) socket_->send(std::move(bytes), false);
    }
    if (!gone_) say_closed();
    socket_->close();
    terminal_.reset();  // hangs up
    log::info("session {}: ended", id_);
    done_ = true;
  }

  void wait() {
    pollfd ready[2] = {{wake_.get(), POLLIN, 0}, {-1, 0, 0}};
    if (terminal_) {
      ready[1].fd = terminal_.get();
      ready[1].events = static_cast<short>((channel_.full() ? 0 : POLLIN) | (input_.empty() ? 0 : POLLOUT));
      // A terminal that nobody holds any more is always ready.
      if (!ready[1].events) ready[1].fd = -1;
    }
    bool hurry = !channel_.idle() || ended_at_;
    (void)::poll(ready, 2, hurry ? 50 : 1000);
    eventfd_t ignored;
    (void)::eventfd_read(wake_.get(), &ignored);
  }

  // The command has ended, its output is out and has arrived (or nobody acknowledges it).
  bool finished() {
    if (refused_) return true;
    if (exit_code_ < 0) return false;
    if (!ended_at_) {  // what it wrote last may have come after we looked
      ended_at_ = clock_.now();
      quiet_ = false;
      return false;
    }
    if (clock_.now() > *ended_at_ + kLastWords) return true;
    bool drained = !terminal_ || quiet_;
    return drained && channel_.idle();
  }

  void take_messages() {
    std::deque<std::string> messages;
    {
      std::lock_guard lock(mutex_);
      messages.swap(inbox_);
    }
    for (const auto& bytes : messages) {
      if (!admitted_) {
        admit(bytes);
        continue;
      }
      auto received = channel_.receive(bytes, clock_.now());
      if (!received) return refuse(received.error().message);
      if (!received->reply.empty()) socket_->send(std::move(received->reply), false);
      if (received->message) handle(*received->message);
    }
  }

  // The first message shows the token.
  void admit(const std::string& bytes) {
    auto shown = codec::parse_json(bytes);
    if (!shown || (*shown)["TokenValue"].as_string() != token_) return refuse("the token is not this session's");
    admitted_ = true;
    wants_exit_code_ = (*shown)["ClientVersion"].as_string().starts_with("watari");
    send(Payload::HandshakeRequest, handshake_request());
  }

  void handle(const net::ChannelMessage& message) {
    switch (message.payload_type) {
      case Payload::HandshakeResponse: return open();
      case Payload::Output:
        input_ += message.payload;
        if (input_.size() > kMostInput) refuse("the command does not read its input");
        return;
      case Payload::Size: {
        auto size = codec::parse_json(message.payload);
        if (!size) return;
        size_.ws_col = static_cast<unsigned short>((*size)["cols"].as_int());
        size_.ws_row = static_cast<unsigned short>((*size)["rows"].as_int());
        if (terminal_) (void)::ioctl(terminal_.get(), TIOCSWINSZ, &size_);
        return;
      }
      case Payload::Flag:
        if (message.payload == std::string("\0\0\0\2", 4)) gone_ = true;  // TerminateSession
        return;
      default:
        if (message.type == net::kChannelClosed) gone_ = true;
    }
  }

  void open() {
    if (terminal_ || exit_code_ >= 0) return;
    auto opened = terminals_.open_terminal(order_.task, order_.container, order_.argv, [self = shared_from_this()](int code) {
      self->exit_code_ = code;
      self->poke();
    });
    if (!opened) return refuse(opened.error().message);
    terminal_ = *std::move(opened);
    ::fcntl(terminal_.get(), F_SETFL, ::fcntl(terminal_.get(), F_GETFL) | O_NONBLOCK);
    if (size_.ws_col) (void)::ioctl(terminal_.get(), TIOCSWINSZ, &size_);
    send(Payload::HandshakeComplete, Json::object({{"HandshakeTimeToComplete", 1000000}, {"CustomerMessage", ""}}).dump());
  }

  void read_terminal() {
    char piece[kPiece];
    quiet_ = false;
    while (terminal_ && !channel_.full()) {
      auto count = ::read(terminal_.get(), piece, sizeof piece);
      if (count > 0) {
        send(Payload::Output, std::string(piece, static_cast<std::size_t>(count)));
        continue;
      }
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) quiet_ = true;
      else terminal_.reset();  // EIO: nobody in the container has it open any more
      return;
    }
  }

  void write_terminal() {
    while (terminal_ && !input_.empty()) {
      auto count = ::write(terminal_.get(), input_.data(), input_.size());
      if (count <= 0) return;
      input_.erase(0, static_cast<std::size_t>(count));
    }
  }

  void send(Payload type, std::string payload) { socket_->send(channel_.send(type, std::move(payload), clock_.now()), false); }

  void refuse(std::string why) {
    log::info("session {}: {}", id_, why);
    refused_ = true;
    last_words_ = std::move(why);
  }

  void say_closed() {
    if (wants_exit_code_ && !refused_) send(Payload::ExitCode, std::to_string(exit_code_.load()));
    net::ChannelMessage message{.type = std::string(net::kChannelClosed), .created = clock_.now(), .id = net::new_message_id()};
    message.payload = Json::object({{"MessageId", random_hex(32)}, {"CreatedDate", std::to_string(clock_.now().time_since_epoch().count())},
                                    {"DestinationId", id_}, {"SessionId", id_}, {"MessageType", message.type}, {"SchemaVersion", 1},
                                    {"Output", last_words_}}).dump();
    socket_->send(net::encode(message), false);
  }

  const std::string id_, token_;
  const Order order_;
  Terminals& terminals_;
  const Clock& clock_;
  const Time made_;
  Time came_{};
  sys::Fd wake_, terminal_;
  std::mutex mutex_;
  std::deque<std::string> inbox_;
  std::atomic<bool> connected_ = false, gone_ = false, done_ = false;
  std::atomic<int> exit_code_ = -1;
  std::shared_ptr<net::WebSocket> socket_;
  net::DataChannel channel_{net::kOutputStream, net::kInputStream};
  bool admitted_ = false, refused_ = false, wants_exit_code_ = false, quiet_ = false;
  winsize size_{};
  std::string input_, last_words_;
  std::optional<Time> ended_at_;
  std::thread thread_;
};

Result<Sessions::Opened> Sessions::create(Order order) {
  std::lock_guard lock(mutex_);
  drop_ended();
  if (sessions_.size() >= kMost) return fail(Code::ResourceExhausted, "{} sessions are open, which is the most at a time", kMost);
  Opened out{"ecs-execute-command-" + random_hex(17), random_hex(64)};
  sessions_[out.id] = std::make_shared<Session>(out.id, out.token, std::move(order), terminals_, clock_);
  return out;
}

bool Sessions::terminate(const std::string& id) {
  std::lock_guard lock(mutex_);
  auto found = sessions_.find(id);
  if (found == sessions_.end() || found->second->over(clock_.now())) return false;
  found->second->end();
  return true;
}

net::WebSocketHandler Sessions::handler() {
  return [this](const net::Request& request, std::shared_ptr<net::WebSocket> socket) -> Result<net::WebSocketEvents> {
    auto id = request.path.substr(request.path.rfind('/') + 1);
    std::shared_ptr<Session> session;
    {
      std::lock_guard lock(mutex_);
      if (auto found = sessions_.find(id); found != sessions_.end()) session = found->second;
    }
    if (!session || session->over(clock_.now()) || !session->connect(std::move(socket)))
      return fail(Code::NotFound, "there is no session {} that waits for a client", id);
    return net::WebSocketEvents{[session](std::string bytes) { session->message(std::move(bytes)); }, [session] { session->end(); }};
  };
}

void Sessions::stop() {
  std::map<std::string, std::shared_ptr<Session>> all;
  {
    std::lock_guard lock(mutex_);
    all.swap(sessions_);
  }
  for (auto& [id, session] : all) session->end();
  for (auto& [id, session] : all) session->join();
}

void Sessions::drop_ended() {
  std::erase_if(sessions_, [now = clock_.now()](const auto& entry) { return entry.second->over(now); });
}

}  // namespace watari::engine
