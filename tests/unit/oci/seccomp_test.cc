#include "oci/seccomp.h"

#include <gtest/gtest.h>

namespace watari::oci {
namespace {

constexpr std::string_view kProfile = R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,
  "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
  "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":null,"includes":{},"excludes":{}},
              {"names":["chroot"],"action":"SCMP_ACT_ALLOW","args":[],"includes":{"caps":["CAP_SYS_CHROOT"]},"excludes":{}},
              {"names":["chroot"],"action":"SCMP_ACT_ERRNO","errnoRet":1,"includes":{},"excludes":{"caps":["CAP_SYS_CHROOT"]}},
              {"names":["s390"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["s390x"]},"excludes":{}}]})";

TEST(Seccomp, KeepsOnlyRulesForThisMachineAndTheseCapabilities) {
  auto with = convert_seccomp(kProfile, {"CAP_SYS_CHROOT"});
  ASSERT_TRUE(with);
  ASSERT_EQ((*with)["syscalls"].as_array().size(), 2u);
  EXPECT_EQ((*with)["syscalls"].as_array()[1]["action"].as_string(), "SCMP_ACT_ALLOW");
  auto without = convert_seccomp(kProfile, {});
  EXPECT_EQ((*without)["syscalls"].as_array()[1]["action"].as_string(), "SCMP_ACT_ERRNO");
  EXPECT_EQ((*without)["syscalls"].as_array()[1]["errnoRet"].as_int(), 1);
}

TEST(Seccomp, SaysWhichPackageBringsAMissingProfile) {
  auto missing = load_seccomp({}, "/does/not/exist");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("golang-github-containers-common"), std::string::npos);
}

}  // namespace
}  // namespace watari::oci
