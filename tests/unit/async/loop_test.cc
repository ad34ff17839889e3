#include "async/loop.h"

#include <gtest/gtest.h>

#include <atomic>

#include "async/pool.h"

namespace watari::async {

TEST(Loop, RunsJobsInTheOrderTheyWerePosted) {
  Loop loop;
  loop.start();
  std::vector<int> seen;
  for (int i = 0; i < 1000; ++i) loop.post([&seen, i] { seen.push_back(i); });
  auto count = loop.call([&] { return seen.size(); });
  ASSERT_EQ(count, 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
}

TEST(Loop, FiresTimersByDueTimeAndNotCancelledOnes) {
  Loop loop;
  loop.start();
  std::promise<void> done;
  std::string order;
  loop.after(Millis(30), [&] { order += "c"; done.set_value(); });
  loop.after(Millis(10), [&] { order += "a"; });
  auto cancelled = loop.after(Millis(15), [&] { order += "x"; });
  loop.after(Millis(20), [&] { order += "b"; });
  loop.cancel(cancelled);
  done.get_future().wait();
  EXPECT_EQ(loop.call([&] { return order; }), "abc");
}

TEST(Loop, RunsWhatWasPostedBeforeStop) {
  std::atomic<int> ran = 0;
  {
    Loop loop;
    loop.start();
    for (int i = 0; i < 100; ++i) loop.post([&] { ++ran; });
    loop.stop();
    loop.post([&] { ++ran; });
  }
  EXPECT_EQ(ran, 100);
}

TEST(Pool, FinishesWhatWasPostedBeforeItEnds) {
  std::atomic<int> ran = 0;
  {
    Pool pool(3);
    for (int i = 0; i < 100; ++i) pool.post([&] { ++ran; });
  }
  EXPECT_EQ(ran, 100);
}

}  // namespace watari::async
