#include "net/data_channel.h"

#include "base/digest.h"
#include "base/id.h"
#include "base/strings.h"
#include "codec/json.h"

namespace watari::net {
namespace {

constexpr std::size_t kHeader = 116, kPayloadAt = 120, kTypeLength = 32;

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
}

std::uint64_t get(std::string_view in, std::size_t at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<unsigned char>(in[at + i]);
  return value;
}

}  // namespace

std::string new_message_id() {
  std::string out;
  for (auto digits = random_hex(32); out.size() < 16;)
    out.push_back(static_cast<char>(std::stoi(digits.substr(out.size() * 2, 2), nullptr, 16)));
  return out;
}

namespace {

std::string uuid_text(std::string_view id) {
  auto out = hex({reinterpret_cast<const std::uint8_t*>(id.data()), id.size()});
  for (std::size_t at : {20, 16, 12, 8}) out.insert(at, "-");
  return out;
}

std::string digest_of(std::string_view payload) {
  auto digest = sha256(payload);
  return {digest.begin(), digest.end()};
}

}  // namespace

std::string encode(const ChannelMessage& message) {
  std::string out;
  put(out, kHeader, 4);
  out += message.type;
  out.append(kTypeLength - message.type.size(), ' ');
  put(out, 1, 4);
  put(out, static_cast<std::uint64_t>(message.created.time_since_epoch().count()), 8);
  put(out, static_cast<std::uint64_t>(message.sequence), 8);
  put(out, message.flags, 8);
  out += message.id.substr(8) + message.id.substr(0, 8);
  out += digest_of(message.payload);
  put(out, static_cast<std::uint32_t>(message.payload_type), 4);
  put(out, message.payload.size(), 4);
  return out + message.payload;
}

Result<ChannelMessage> decode_channel_message(std::string_view in) {
  if (in.size() < kPayloadAt) return fail(Code::InvalidArgument, "a message of the data channel has at least {} bytes; this one has {}", kPayloadAt, in.size());
  ChannelMessage out;
  auto header = get(in, 0, 4);
  if (header != kHeader) return fail(Code::InvalidArgument, "the header of a data channel message has {} bytes, not {}", kHeader, header);
  out.type = std::string(trim(in.substr(4, kTypeLength)));
  while (out.type.ends_with('\0')) out.type.pop_back();
  out.created = Time(Millis(static_cast<std::int64_t>(get(in, 40, 8))));
  out.sequence = static_cast<std::int64_t>(get(in, 48, 8));
  out.flags = get(in, 56, 8);
  out.id = std::string(in.substr(72, 8)) + std::string(in.substr(64, 8));
  out.payload_type = static_cast<Payload>(get(in, 112, 4));
  if (get(in, 116, 4) != in.size() - kPayloadAt) return fail(Code::InvalidArgument, "a data channel message says its payload has {} bytes; {} came", get(in, 116, 4), in.size() - kPayloadAt);
  out.payload = std::string(in.substr(kPayloadAt));
  if (!out.payload.empty() && digest_of(out.payload) != in.substr(80, 32))
    return fail(Code::InvalidArgument, "the payload of a data channel message does not match its digest");
  return out;
}

std::string DataChannel::send(Payload type, std::string payload, Time now) {
  ChannelMessage message{.type = std::string(sends_), .created = now, .sequence = next_, .id = new_message_id(), .payload_type = type, .payload = std::move(payload)};
  if (next_ == 0) message.flags = 1;
  auto bytes = encode(message);
  waiting_[next_++] = {bytes, now};
  return bytes;
}

Result<DataChannel::Received> DataChannel::receive(std::string_view bytes, Time now) {
  TRY(auto message, decode_channel_message(bytes));
  Received out;
  if (message.type == kAcknowledge) {
    TRY(auto content, codec::parse_json(message.payload));
    waiting_.erase(content["AcknowledgedMessageSequenceNumber"].as_int());
  } else if (message.type == kChannelClosed) {
    out.message = std::move(message);
  } else if (message.type == receives_ && message.sequence <= expected_) {
    auto content = codec::Json::object({{"AcknowledgedMessageType", message.type}, {"AcknowledgedMessageId", uuid_text(message.id)},
                                        {"AcknowledgedMessageSequenceNumber", message.sequence}, {"IsSequentialMessage", true}});
    out.reply = encode({.type = std::string(kAcknowledge), .created = now, .flags = 3, .id = new_message_id(), .payload = content.dump()});
    if (message.sequence == expected_) {
      ++expected_;
      out.message = std::move(message);
    }
  }
  return out;
}

std::vector<std::string> DataChannel::due(Time now) {
  std::vector<std::string> out;
  for (auto& [sequence, waiting] : waiting_) {
    if (now - waiting.sent < kResendAfter) continue;
    waiting.sent = now;
    out.push_back(waiting.bytes);
  }
  return out;
}

}  // namespace watari::net
