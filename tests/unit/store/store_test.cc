#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>

#include "store/table_code.h"

namespace watari::store {
namespace {

struct Note {
  std::string text;
  int count = 0;
  WATARI_FIELDS(Note, text, count)
};

class Store : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/watari-store-XXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ / "watari.db";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::unique_ptr<Database> open() {
    auto database = Database::open(path_);
    EXPECT_TRUE(database.has_value()) << (database ? "" : database.error().message);
    return database ? std::move(*database) : nullptr;
  }
  std::filesystem::path directory_, path_;
};

TEST_F(Store, KeepsWhatWasCommittedAndNothingElse) {
  {
    auto database = open();
    Table<Note> notes(*database, "notes");
    {
      Transaction change(*database);
      notes.put("a", {"first", 1});
      notes.put("b", {"second", 2});
      ASSERT_TRUE(change.commit());
    }
    {
      Transaction change(*database);
      notes.put("a", {"changed", 9});
      notes.put("c", {"third", 3});
      notes.erase("b");
      EXPECT_EQ(notes.get("a")->text, "changed");
    }
    EXPECT_EQ(notes.get("a")->text, "first");
    EXPECT_TRUE(notes.has("b"));
    EXPECT_FALSE(notes.has("c"));
  }
  auto database = open();
  Table<Note> notes(*database, "notes");
  EXPECT_EQ(notes.size(), 2u);
  EXPECT_EQ(notes.get("a")->text, "first");
  EXPECT_EQ(notes.get("b")->count, 2);
  EXPECT_FALSE(database->damage());
}

TEST_F(Store, ListsByPrefixInOrderWithPages) {
  auto database = open();
  Table<Note> notes(*database, "notes");
  Transaction change(*database);
  for (auto key : {"x/3", "x/1", "y/1", "x/2", "w/1"}) notes.put(key, {key, 0});
  ASSERT_TRUE(change.commit());
  auto keys = [](const auto& entries) {
    std::vector<std::string> out;
    for (const auto& [key, note] : entries) out.push_back(key);
    return out;
  };
  EXPECT_EQ(keys(notes.list("x/")), (std::vector<std::string>{"x/1", "x/2", "x/3"}));
  EXPECT_EQ(keys(notes.list("x/", "x/1", 1)), (std::vector<std::string>{"x/2"}));
  EXPECT_EQ(keys(notes.list("", "x/3")), (std::vector<std::string>{"y/1"}));
  EXPECT_TRUE(notes.list("z").empty());
}

TEST_F(Store, AnInnerTransactionThatIsDroppedTakesOnlyItsOwnWritesBack) {
  {
    auto database = open();
    Table<Note> notes(*database, "notes");
    Transaction outer(*database);
    notes.put("a", {"outer", 1});
    {
      Transaction inner(*database);
      notes.put("a", {"inner", 2});
      notes.put("b", {"inner", 2});
    }
    {
      Transaction inner(*database);
      notes.put("c", {"inner", 3});
      ASSERT_TRUE(inner.commit());
    }
    ASSERT_TRUE(outer.commit());
  }
  auto database = open();
  Table<Note> notes(*database, "notes");
  EXPECT_EQ(notes.get("a")->text, "outer");
  EXPECT_FALSE(notes.has("b"));
  EXPECT_TRUE(notes.has("c"));
}

TEST_F(Store, RefusesWritesOutsideATransaction) {
  auto database = open();
  Table<Note> notes(*database, "notes");
  EXPECT_THROW(notes.put("a", {"x", 1}), std::logic_error);
  EXPECT_FALSE(notes.has("a"));
}

TEST_F(Store, TellsOfChangesOnlyWhenSomethingWasWritten) {
  auto database = open();
  Table<Note> notes(*database, "notes");
  int changes = 0;
  database->on_change([&] { ++changes; });
  { Transaction nothing(*database); ASSERT_TRUE(nothing.commit()); }
  EXPECT_EQ(changes, 0);
  { Transaction change(*database); notes.put("a", {}); ASSERT_TRUE(change.commit()); }
  EXPECT_EQ(changes, 1);
}

TEST_F(Store, KeepsTheFileToItsOwner) {
  auto database = open();
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(Store, ReportsAFileThatIsNoDatabase) {
  std::ofstream(path_) << std::string(8192, 'x');
  auto database = Database::open(path_);
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().code, Code::Corrupt);
  EXPECT_NE(database.error().message.find("damaged"), std::string::npos);
}

// What an older version may have kept under the name: its text is a number.
struct Other {
  int text = 5;
  WATARI_FIELDS(Other, text)
};

TEST_F(Store, ReportsADocumentThatCannotBeReadAndRefusesToWriteOverIt) {
  auto database = open();
  Table<Note> notes(*database, "notes");
  { Transaction change(*database); notes.put("a", {"words", 1}); ASSERT_TRUE(change.commit()); }
  Table<Other> others(*database, "notes");
  ASSERT_TRUE(database->damage());
  EXPECT_EQ(database->damage()->code, Code::Corrupt);
  EXPECT_NE(database->damage()->message.find("table notes, key a"), std::string::npos) << database->damage()->message;
  Transaction change(*database);
  notes.put("b", {"x", 1});
  EXPECT_FALSE(change.commit());
}

TEST_F(Store, ReportsAFullDiskAndKeepsTheStateAsItWas) {
  auto database = open();
  Table<Note> notes(*database, "notes");
  { Transaction change(*database); notes.put("a", {"small", 1}); ASSERT_TRUE(change.commit()); }
  // RLIMIT_FSIZE stands for a full disk: SQLite cannot grow its file.
  pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit {200'000, 200'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    auto mine = Database::open(path_);
    if (!mine) ::_exit(2);
    Table<Note> table(**mine, "notes");
    Transaction change(**mine);
    table.put("big", {std::string(1'000'000, 'x'), 2});
    auto done = change.commit();
    ::_exit(!done && !table.has("big") ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  { Transaction change(*database); notes.put("b", {"again", 1}); EXPECT_TRUE(change.commit()); }
}

// A child commits pairs and tells their numbers through a pipe until it is killed. Whatever the moment: both halves of
// every pair agree, and no number that was told is missing.
TEST_F(Store, LosesNothingThatWasAnsweredWhenKilledInTheMiddle) {
  std::mt19937 random(20261122);
  for (int round = 0; round < 25; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    pid_t child = ::fork();
    if (child == 0) {
      auto mine = Database::open(path_);
      if (!mine) ::_exit(2);
      Table<Note> notes(**mine, "notes");
      for (int n = notes.has("left") ? notes.get("left")->count : 0;;) {
        ++n;
        Transaction change(**mine);
        notes.put("left", {std::string(n % 5000, 'l'), n});
        notes.put("n/" + std::to_string(n), {"x", n});
        notes.put("right", {std::string(n % 3000, 'r'), n});
        if (!change.commit()) ::_exit(3);
        if (::write(pipe_ends[1], &n, sizeof n) != sizeof n) ::_exit(4);
      }
    }
    ::close(pipe_ends[1]);
    ::usleep(2000 + random() % 30000);
    ::kill(child, SIGKILL);
    int told = 0, n = 0;
    while (::read(pipe_ends[0], &n, sizeof n) == sizeof n) told = n;
    ::close(pipe_ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    auto database = open();
    ASSERT_TRUE(database);
    Table<Note> notes(*database, "notes");
    ASSERT_FALSE(database->damage());
    int left = notes.has("left") ? notes.get("left")->count : 0;
    EXPECT_EQ(left, notes.has("right") ? notes.get("right")->count : 0);
    EXPECT_GE(left, told);
    EXPECT_EQ(notes.list("n/").size(), static_cast<std::size_t>(left));
  }
}

}  // namespace
}  // namespace watari::store
