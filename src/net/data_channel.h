#pragma once
// The data channel of Systems Manager sessions: binary messages over a WebSocket, numbered, acknowledged one by one and sent again
// until they are. Pure: bytes in, bytes out. One side's state; used by one thread at a time.
// Source: https://github.com/aws/session-manager-plugin/tree/mainline/src (message/, datachannel/, config/)
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace watari::net {

enum class Payload : std::uint32_t {
  None = 0, Output = 1, Error = 2, Size = 3, Parameter = 4, HandshakeRequest = 5, HandshakeResponse = 6, HandshakeComplete = 7,
  Flag = 10, StdErr = 11, ExitCode = 12
};

inline constexpr std::string_view kInputStream = "input_stream_data";    // from the person
inline constexpr std::string_view kOutputStream = "output_stream_data";  // to the person
inline constexpr std::string_view kAcknowledge = "acknowledge";
inline constexpr std::string_view kChannelClosed = "channel_closed";

//   0  header length (116)   4  type, 32 bytes padded with blanks   36  schema version   40  created, ms since the epoch
//  48  sequence number      56  flags (1: first, 2: last)           64  id, its lower half first
//  80  SHA-256 of payload  112  payload type                       116  payload length  120  payload;   all big-endian
struct ChannelMessage {
  std::string type;
  Time created{};
  std::int64_t sequence = 0;
  std::uint64_t flags = 0;
  std::string id;  // 16 bytes
  Payload payload_type = Payload::None;
  std::string payload;
};
std::string new_message_id();
std::string encode(const ChannelMessage& message);
Result<ChannelMessage> decode_channel_message(std::string_view bytes);  // InvalidArgument; the payload's digest is checked

class DataChannel {
 public:
  static constexpr std::size_t kWindow = 64;  // messages on the way
  static constexpr Millis kResendAfter{200};

  DataChannel(std::string_view sends, std::string_view receives) : sends_(sends), receives_(receives) {}

  // The bytes of a message of our stream; they are kept until they are acknowledged.
  std::string send(Payload type, std::string payload, Time now);

  struct Received {
    std::optional<ChannelMessage> message;  // the stream's next one, or the peer's channel_closed
    std::string reply;                      // to be sent when not empty
  };
  // A message that comes too early is dropped, since it is not acknowledged it comes again; one that came before is acknowledged again.
  Result<Received> receive(std::string_view bytes, Time now);

  std::vector<std::string> due(Time now);  // what is to be sent again
  bool full() const { return waiting_.size() >= kWindow; }
  bool idle() const { return waiting_.empty(); }  // everything has arrived

 private:
  struct Waiting {
    std::string bytes;
    Time sent;
  };
  std::string_view sends_, receives_;
  std::int64_t next_ = 0, expected_ = 0;
  std::map<std::int64_t, Waiting> waiting_;
};

}  // namespace watari::net
