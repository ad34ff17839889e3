#include "oci/seccomp.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "oci/seccomp_filter.h"

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

// A process that lives under the program; its exit code is that of `body`.
int under(const std::string& program, int (*body)()) {
  const auto pid = ::fork();
  if (pid == 0) {
    sock_fprog filter{static_cast<unsigned short>(program.size() / sizeof(sock_filter)), reinterpret_cast<sock_filter*>(const_cast<char*>(program.data()))};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) ::_exit(99);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(SeccompFilter, TheKernelDoesWhatTheProfileSays) {
  auto profile = codec::parse_json(R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_AARCH64"],"syscalls":[
    {"names":["exit_group","getpid","no_such_call"],"action":"SCMP_ACT_ALLOW"},
    {"names":["chroot"],"action":"SCMP_ACT_ERRNO","errnoRet":1},
    {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":4294967295,"op":"SCMP_CMP_EQ"}]}]})");
  auto program = compile_seccomp(*profile);
  ASSERT_TRUE(program) << program.error().message;
  EXPECT_EQ(under(*program, [] { return ::getpid() > 0 ? 0 : 1; }), 0);
  EXPECT_EQ(under(*program, [] { return ::chroot("/") == 0 ? 0 : errno; }), EPERM);
  EXPECT_EQ(under(*program, [] { return ::syscall(SYS_getppid) > 0 ? 0 : errno; }), ENOSYS);
  EXPECT_EQ(under(*program, [] { return ::syscall(SYS_personality, 0xffffffffUL) >= 0 ? 0 : errno; }), 0);
  EXPECT_EQ(under(*program, [] { return ::syscall(SYS_personality, 0x20000UL) >= 0 ? 0 : errno; }), ENOSYS);
}

TEST(SeccompFilter, LeavesToTheRuntimeWhatItDoesNotKnow) {
  for (const char* text : {R"({"defaultAction":"SCMP_ACT_NOTIFY","syscalls":[]})", R"({"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[]})",
                           R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_PDP11"],"syscalls":[]})",
                           R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}]})"}) {
    auto profile = codec::parse_json(text);
    EXPECT_FALSE(compile_seccomp(*profile)) << text;
    EXPECT_TRUE(seccomp_annotations(*profile).as_object().empty());
  }
}

}  // namespace
}  // namespace watari::oci
