#include "net/data_channel.h"

#include <gtest/gtest.h>

namespace watari::net {
namespace {

const Time kNow{Seconds(1'795'000'000)};

DataChannel agent() { return {kOutputStream, kInputStream}; }
DataChannel person() { return {kInputStream, kOutputStream}; }

TEST(DataChannel, AMessageIsTheSameAfterTheWire) {
  ChannelMessage message{.type = std::string(kOutputStream), .created = kNow, .sequence = 7, .flags = 3, .id = "0123456789abcdef",
                         .payload_type = Payload::StdErr, .payload = std::string("a\0b", 3)};
  auto bytes = encode(message);
  EXPECT_EQ(bytes.size(), 120u + 3);
  EXPECT_EQ(bytes.substr(0, 4), std::string("\0\0\0\x74", 4));
  EXPECT_EQ(bytes.substr(64, 16), "89abcdef01234567") << "the lower half of the id comes first";
  auto read = decode_channel_message(bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->type, message.type);
  EXPECT_EQ(read->sequence, 7);
  EXPECT_EQ(read->id, message.id);
  EXPECT_EQ(read->payload_type, Payload::StdErr);
  EXPECT_EQ(read->payload, message.payload);
}

TEST(DataChannel, RefusesWhatIsCutOffOrChanged) {
  auto bytes = encode({.type = std::string(kInputStream), .created = kNow, .id = "0123456789abcdef", .payload = "hello"});
  for (std::size_t length = 0; length < bytes.size(); ++length) EXPECT_FALSE(decode_channel_message(std::string_view(bytes).substr(0, length)));
  bytes.back() ^= 1;
  EXPECT_FALSE(decode_channel_message(bytes));
}

TEST(DataChannel, WhatIsNotAcknowledgedIsSentAgain) {
  auto from = agent(), to = person();
  auto bytes = from.send(Payload::Output, "x", kNow);
  EXPECT_TRUE(from.due(kNow).empty());
  auto again = from.due(kNow + DataChannel::kResendAfter);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0], bytes);
  EXPECT_FALSE(from.idle());
  auto received = to.receive(bytes, kNow);
  ASSERT_TRUE(received && received->message);
  ASSERT_TRUE(from.receive(received->reply, kNow));
  EXPECT_TRUE(from.idle());
  EXPECT_TRUE(from.due(kNow + Seconds(10)).empty());
}

TEST(DataChannel, DeliversEachMessageOnceAndInOrder) {
  auto from = agent(), to = person();
  auto first = from.send(Payload::Output, "1", kNow), second = from.send(Payload::Output, "2", kNow);
  auto early = to.receive(second, kNow);
  EXPECT_FALSE(early->message);
  EXPECT_TRUE(early->reply.empty()) << "it must come again";
  EXPECT_EQ(to.receive(first, kNow)->message->payload, "1");
  auto repeated = to.receive(first, kNow);
  EXPECT_FALSE(repeated->message);
  EXPECT_FALSE(repeated->reply.empty()) << "its acknowledgement may have been lost";
  EXPECT_EQ(to.receive(second, kNow)->message->payload, "2");
}

TEST(DataChannel, TheWindowFillsAndEmpties) {
  auto from = agent(), to = person();
  std::vector<std::string> sent;
  while (!from.full()) sent.push_back(from.send(Payload::Output, "x", kNow));
  EXPECT_EQ(sent.size(), DataChannel::kWindow);
  ASSERT_TRUE(from.receive(to.receive(sent[0], kNow)->reply, kNow));
  EXPECT_FALSE(from.full());
}

}  // namespace
}  // namespace watari::net
