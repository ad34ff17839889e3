#include "engine/sessions.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace watari::engine {
namespace {

class SharedClock final : public Clock {
 public:
  Time now() const override { return Time(Millis(now_.load())); }
  void advance(Millis by) { now_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_ = 1'700'000'000'000;
};

class NoTerminals final : public Terminals {
 public:
  Result<sys::Fd> open_terminal(const std::string&, const std::string&, const std::vector<std::string>&, std::function<void(int)>) override {
    return fail(Code::NotFound, "no terminal");
  }
  Sessions& sessions() override { std::abort(); }
};

class Wire final : public net::WebSocket {
 public:
  void send(std::string, bool) override {}
  void close() override { closed = true; }
  std::atomic<bool> closed = false;
};

TEST(Sessions, EndForAClientThatConnectsAndShowsNoToken) {
  SharedClock clock;
  NoTerminals terminals;
  Sessions sessions(terminals, clock);
  auto opened = sessions.create({"task", "app", {"sh"}, "arn:aws:iam::123456789012:root"});
  ASSERT_TRUE(opened);
  auto wire = std::make_shared<Wire>();
  net::Request request;
  request.path = std::string(Sessions::kPath) + "/" + opened->id;
  ASSERT_TRUE(sessions.handler()(request, wire));
  clock.advance(Sessions::kConnectWithin - Millis(1));
  std::this_thread::sleep_for(Millis(1200));  // it looks every second
  EXPECT_FALSE(wire->closed);
  clock.advance(Millis(1));
  for (int i = 0; i < 1000 && !wire->closed; ++i) std::this_thread::sleep_for(Millis(10));
  EXPECT_TRUE(wire->closed);
}

}  // namespace
}  // namespace watari::engine
