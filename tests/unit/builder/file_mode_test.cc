#include "builder/file_mode.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace watari::builder {
namespace {

std::string changed(std::string_view change, unsigned mode) {
  auto parsed = FileMode::parse(change);
  return parsed ? fmt::format("{:04o}", parsed->of(mode)) : "error: " + parsed.error().message;
}

TEST(FileMode, TakesOctalNumbersAsTheyAre) {
  EXPECT_EQ(changed("0750", S_IFREG | 0644), "0750");
  EXPECT_EQ(changed("6755", S_IFDIR | 0700), "6755");
}

TEST(FileMode, KnowsClausesAsChmodDoes) {
  EXPECT_EQ(changed("u=rwX,go=rX", S_IFREG | 0600), "0644");
  EXPECT_EQ(changed("u=rwX,go=rX", S_IFREG | 0711), "0755");
  EXPECT_EQ(changed("u=rwX,go=rX", S_IFDIR | 0600), "0755");
  EXPECT_EQ(changed("+x", S_IFREG | 0644), "0755");
  EXPECT_EQ(changed("a-w", S_IFREG | 0666), "0444");
  EXPECT_EQ(changed("g=u,o-rwx", S_IFREG | 0744), "0770");
  EXPECT_EQ(changed("u+s,+t", S_IFREG | 0755), "5755");
  EXPECT_EQ(changed("u+x-w", S_IFREG | 0600), "0500");
}

TEST(FileMode, RefusesWhatIsNoMode) {
  for (const auto* wrong : {"", "8", "77777", "u", "rwx", "u=rwz", "u+x,"}) EXPECT_EQ(changed(wrong, 0).substr(0, 6), "error:") << wrong;
}

}  // namespace
}  // namespace watari::builder
