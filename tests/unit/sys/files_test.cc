#include "sys/files.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "sys/cgroup.h"
#include "sys/process.h"

namespace watari::sys {
namespace {

class Files : public testing::Test {
 protected:
  Files() {
    std::string pattern = "/tmp/watari-files-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/file";
  }
  ~Files() override { std::filesystem::remove_all(directory_); }
  static ino_t inode(const std::string& path) {
    struct stat info{};
    ::stat(path.c_str(), &info);
    return info.st_ino;
  }
  std::string directory_, path_;
};

TEST_F(Files, ReplacingMakesANewFileAndRewritingKeepsIt) {
  ASSERT_TRUE(write_file(path_, "a long first content"));
  auto first = inode(path_);
  ASSERT_TRUE(rewrite_in_place(path_, "short"));
  EXPECT_EQ(*read_file(path_), "short");
  EXPECT_EQ(inode(path_), first);
  ASSERT_TRUE(replace_file(path_, "other", 0600, true));
  EXPECT_EQ(*read_file(path_), "other");
  EXPECT_NE(inode(path_), first);
  ASSERT_TRUE(rewrite_in_place(path_, ""));
  EXPECT_EQ(*read_file(path_), "");
}

TEST_F(Files, ErrorsNameThePath) {
  auto missing = read_file(directory_ + "/missing");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::NotFound);
  EXPECT_NE(missing.error().message.find(directory_ + "/missing"), std::string::npos);
}

TEST_F(Files, DirectoriesAreMadeWithTheirParentsAndRemovedWithTheirContent) {
  auto deep = directory_ + "/a/b/c";
  ASSERT_TRUE(make_directories(deep));
  ASSERT_TRUE(make_directories(deep));
  ASSERT_TRUE(write_file(deep + "/x", "y"));
  ASSERT_TRUE(remove_tree(directory_ + "/a"));
  ASSERT_TRUE(remove_tree(directory_ + "/a"));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/a"));
}

TEST(Process, GivesOutputAndExitCode) {
  auto done = run({"sh", "-c", "echo out; echo err >&2; exit 3"}, Millis(5000));
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->exit_code, 3);
  EXPECT_EQ(done->text, "out\nerr\n");
  EXPECT_EQ(run({"sh", "-c", "kill -9 $$"}, Millis(5000))->exit_code, 137);
}

TEST(Process, IsKilledWhenItTakesTooLong) {
  auto done = run({"sleep", "30"}, Millis(50));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::DeadlineExceeded);
}

TEST(Process, AMissingProgramIsNotFound) {
  auto child = spawn({.argv = {"/no/such/program"}, .environment = {}, .descriptors = {}});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, Code::NotFound);
}

TEST(Process, HasNoDescriptorsButThoseGiven) {
  auto done = run({"sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"}, Millis(5000));
  ASSERT_TRUE(done);
  EXPECT_EQ(done->text, "0 1 2 3 ") << "3 is ls's own";
}

TEST(CgroupsOnThisHost, LimitCountAndRemove) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  auto groups = Cgroups::detect();
  if (!groups) GTEST_SKIP() << groups.error().message;
  std::string name = "watari-test-" + std::to_string(::getpid());
  ASSERT_TRUE(groups->create(name + "/c", {.memory_bytes = 64 << 20, .cpus = 0.5, .processes = 10}));
  auto child = spawn({.argv = {"sleep", "60"}, .environment = {}, .descriptors = {}});
  ASSERT_TRUE(child);
  ASSERT_TRUE(groups->add_process(name + "/c", child->pid));
  EXPECT_EQ(groups->processes(name), std::vector<int>{child->pid});
  EXPECT_EQ(groups->usage(name + "/c")->processes, 1);
  EXPECT_EQ(groups->oom_kills(name + "/c"), 0);
  EXPECT_FALSE(groups->children(name).empty());
  ::kill(child->pid, SIGSTOP);
  std::thread reaper([&] { EXPECT_EQ(*wait_child(*child), 137); });
  EXPECT_TRUE(groups->kill_all(name, std::chrono::seconds(5)));
  reaper.join();
  EXPECT_TRUE(groups->remove(name));
  EXPECT_TRUE(groups->remove(name));
  EXPECT_TRUE(groups->children(name).empty());
}

}  // namespace
}  // namespace watari::sys
