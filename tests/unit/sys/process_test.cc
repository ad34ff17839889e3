#include "sys/process.h"

#include <gtest/gtest.h>

namespace watari::sys {
namespace {

constexpr Millis kAmple{60'000};

TEST(Run, GivesWhatTheProgramPrintedAndItsExitCode) {
  auto output = run({"sh", "-c", "echo out; echo err >&2; exit 3"}, kAmple);
  ASSERT_TRUE(output) << output.error().message;
  EXPECT_EQ(output->exit_code, 3);
  EXPECT_EQ(output->text, "out\nerr\n");
}

TEST(Run, SaysWhichSignalEndedTheProgramAsAShellDoes) {
  auto output = run({"sh", "-c", "kill -9 $$"}, kAmple);
  ASSERT_TRUE(output) << output.error().message;
  EXPECT_EQ(output->exit_code, 128 + 9);
}

TEST(Run, GivesUpOnAProgramThatHasClosedItsOutputAndGoesOn) {
  auto output = run({"sh", "-c", "exec >&- 2>&-; exec sleep 600"}, Millis(100));
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, Code::DeadlineExceeded);
}

TEST(Run, NamesAProgramThatIsNotThere) {
  auto output = run({"no-such-program-here"}, kAmple);
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, Code::NotFound);
}

}  // namespace
}  // namespace watari::sys
