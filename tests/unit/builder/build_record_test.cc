// Waiting for news of a build.
#include "builder/build_record.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/temporary_directory.h"

namespace watari::builder {
namespace {

constexpr Millis kLong(60'000);

TEST(BuildRecord, WaitsForTheNextLineAndForTheEnd) {
  tests::TemporaryDirectory directory;
  auto record = BuildRecord::create(directory.path(), {});
  ASSERT_TRUE(record) << record.error().message;
  auto& build = **record;
  std::jthread writer([&] { build.line(0, "first"); });
  build.wait(0, kLong);
  auto report = build.report();
  ASSERT_TRUE(load_lines(directory.path() / build.id(), 0, report));
  ASSERT_EQ(report.lines.size(), 1u);
  EXPECT_EQ(report.status, BuildStatus::Running);
  std::jthread ender([&] { build.finish(fail(Code::Internal, "broken")); });
  build.wait(report.next_log_position, kLong);
  EXPECT_EQ(build.report().status, BuildStatus::Failed);
}

TEST(BuildRecord, DoesNotWaitLongerThanAsked) {
  tests::TemporaryDirectory directory;
  auto record = BuildRecord::create(directory.path(), {});
  ASSERT_TRUE(record) << record.error().message;
  (*record)->wait(0, Millis(1));
  EXPECT_EQ((*record)->report().status, BuildStatus::Running);
}

}  // namespace
}  // namespace watari::builder
