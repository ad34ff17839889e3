#include "logs/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

namespace watari::logs {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

const std::string kScope = "123456789012/us-east-1";
const Time kNow{Seconds(1'795'000'000)};

class Store : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(::mkdtemp(root_));
    open();
    ASSERT_TRUE(store_->create_group(kScope, "/app", {}));
    ASSERT_TRUE(store_->create_stream(kScope, "/app", "a/1"));
    ASSERT_TRUE(store_->create_stream(kScope, "/app", "b"));
  }
  void TearDown() override { fs::remove_all(root_); }
  void open() { store_ = *LogStore::open(root_); }
  std::string folder(const std::string& stream) const { return std::string(root_) + "/" + kScope + "/" + encode_name("/app") + "/" + encode_name(stream); }

  void put(const std::string& stream, std::vector<std::pair<int, std::string>> lines) {
    std::vector<NewEvent> events;
    for (const auto& [second, text] : lines) events.push_back({kNow + Seconds(second), text});
    ASSERT_TRUE(store_->append(kScope, "/app", stream, events));
  }
  EventPage read(Query query, std::vector<std::string> streams = {"a/1", "b"}) {
    return *store_->read(kScope, "/app", streams, std::move(query), kNow);
  }
  static std::vector<std::string> texts(const EventPage& page) {
    std::vector<std::string> out;
    for (const auto& event : page.events) out.push_back(event.text);
    return out;
  }

  char root_[64] = "/tmp/watari-logs-XXXXXX";
  std::unique_ptr<LogStore> store_;
};

TEST_F(Store, MergesStreamsInTheOrderOfTime) {
  put("a/1", {{1, "one"}, {3, "three"}});
  put("b", {{2, "two"}, {4, "four"}});
  EXPECT_THAT(texts(read({})), ElementsAre("one", "two", "three", "four"));
  open();
  EXPECT_THAT(texts(read({})), ElementsAre("one", "two", "three", "four"));
}

TEST_F(Store, PagesFromBothEnds) {
  put("a/1", {{1, "1"}, {2, "2"}, {3, "3"}, {4, "4"}, {5, "5"}});
  auto first = read({.limit = 2});
  EXPECT_THAT(texts(first), ElementsAre("1", "2"));
  EXPECT_TRUE(first.more);
  auto second = read({.after = first.events.back().at, .limit = 3});
  EXPECT_THAT(texts(second), ElementsAre("3", "4", "5"));
  EXPECT_FALSE(second.more);
  auto newest = read({.newest_first = true, .limit = 2});
  EXPECT_THAT(texts(newest), ElementsAre("4", "5"));
  EXPECT_THAT(texts(read({.before = newest.events.front().at, .newest_first = true, .limit = 2})), ElementsAre("2", "3"));
}

TEST_F(Store, FindsTheSameAsReadingEverythingWhateverTheOrder) {
  std::mt19937 random(7);
  std::vector<std::pair<std::int64_t, std::string>> all;
  for (int batch = 0; batch < 30; ++batch) {
    std::vector<std::pair<int, std::string>> lines;
    for (int i = 0; i < 200; ++i) lines.emplace_back(static_cast<int>(random() % 1000), std::string(random() % 300, 'x') + std::to_string(batch * 200 + i));
    for (const auto& [second, text] : lines) all.emplace_back(second, text);
    put(batch % 2 ? "a/1" : "b", lines);
  }
  std::vector<std::string> seen;
  Query query{.limit = 97};
  while (true) {
    auto page = read(query);
    for (auto& event : page.events) seen.push_back(event.text);
    if (!page.more) break;
    query.after = page.events.back().at;
  }
  ASSERT_EQ(seen.size(), all.size());
  auto time_of = [&](const std::string& text) { return std::ranges::find(all, text, [](const auto& line) { return line.second; })->first; };
  EXPECT_TRUE(std::ranges::is_sorted(seen, {}, time_of));
}

TEST_F(Store, LimitsAPageByItsBytes) {
  put("b", {{1, std::string(600, 'a')}, {2, std::string(600, 'b')}, {3, "c"}});
  auto page = read({.max_bytes = 1000});
  EXPECT_EQ(page.events.size(), 1u);
  EXPECT_TRUE(page.more);
}

TEST_F(Store, SeesWhatAShimWritesWhileItGrows) {
  auto writer = *SegmentWriter::open(folder("shim"));
  writer.append(Stream::Stdout, 5'000'000, "first\nunfin");
  ASSERT_TRUE(writer.flush());
  EXPECT_THAT(texts(read({}, {"shim"})), ElementsAre("first"));
  writer.release_unfinished(6'000'000);
  ASSERT_TRUE(writer.flush());
  EXPECT_THAT(texts(read({}, {"shim"})), ElementsAre("first", "unfin"));
  writer.append(Stream::Stdout, 7'000'000, "\n\n");
  ASSERT_TRUE(writer.flush());
  // The end of the line has no text of its own; the empty line behind it is one.
  EXPECT_THAT(texts(read({}, {"shim"})), ElementsAre("first", "unfin", ""));
}

TEST_F(Store, ReadsOnBehindTornAndDamagedRecords) {
  put("b", {{1, "one"}, {2, "two"}, {3, "three"}});
  auto file = folder("b") + "/" + segment_name(1);
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(8 + kRecordHeader + 3 + kRecordHeader).write("X", 1);
  std::ofstream(file, std::ios::app | std::ios::binary) << "torn";
  open();
  put("b", {{4, "four"}});
  EXPECT_THAT(texts(read({}, {"b"})), ElementsAre("one", "three", "four"));
}

TEST_F(Store, AppliesRetentionToReadingAndToTheDisk) {
  put("b", {{-3 * 86400, "old"}});
  open();  // a new segment
  put("b", {{0, "new"}});
  ASSERT_TRUE(store_->set_retention(kScope, "/app", 1));
  EXPECT_THAT(texts(read({})), ElementsAre("new"));
  auto old = folder("b") + "/" + segment_name(1);
  auto since = fs::file_time_type::clock::now();
  fs::last_write_time(old, since - std::chrono::days(3));
  auto now = SystemClock().now();
  store_->sweep(now);
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(folder("b") + "/" + segment_name(2)));
}

TEST_F(Store, DoesNotSweepTheSegmentThatAWriterHolds) {
  auto writer = *SegmentWriter::open(folder("shim"));
  writer.append(Stream::Stdout, 5'000'000, "first\n");
  ASSERT_TRUE(writer.flush());
  auto file = folder("shim") + "/" + segment_name(1);
  fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::days(3));
  ASSERT_TRUE(store_->set_retention(kScope, "/app", 1));
  store_->sweep(SystemClock().now());
  EXPECT_TRUE(fs::exists(file));
  { auto closed = std::move(writer); }
  fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::days(3));
  store_->sweep(SystemClock().now());
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(Store, DeletesWholeGroupsAndFinishesInterruptedDeletions) {
  put("b", {{1, "one"}});
  fs::rename(folder("b"), fs::path(folder("b")).parent_path() / "%deleted-0123");
  open();
  EXPECT_FALSE(fs::exists(fs::path(folder("b")).parent_path() / "%deleted-0123"));
  ASSERT_TRUE(store_->delete_group(kScope, "/app"));
  EXPECT_TRUE(store_->groups(kScope).empty());
  EXPECT_EQ(store_->group(kScope, "/app").error().code, Code::NotFound);
  ASSERT_TRUE(store_->create_group(kScope, "/app", {}));
  EXPECT_TRUE(store_->streams(kScope, "/app").value().empty());
}

TEST_F(Store, AppendsToAStreamThatWasDeletedAndMadeAgain) {
  put("b", {{1, "before"}});
  ASSERT_TRUE(store_->delete_stream(kScope, "/app", "b"));
  ASSERT_TRUE(store_->create_stream(kScope, "/app", "b"));
  put("b", {{2, "after"}});
  EXPECT_THAT(texts(read({}, {"b"})), ElementsAre("after"));
}

TEST_F(Store, KeepsNamesInsideItsFolder) {
  for (std::string name : {".", "..", "a..b", "%deleted-x", "/../x"}) {
    ASSERT_TRUE(store_->create_group(kScope, name, {{"k y", "v\nw"}})) << name;
    EXPECT_EQ(store_->group(kScope, name).value().tags.at("k y"), "v\nw");
  }
  EXPECT_THAT(store_->groups(kScope), ElementsAre("%deleted-x", ".", "..", "/../x", "/app", "a..b"));
  open();
  EXPECT_EQ(store_->groups(kScope).size(), 6u);
}

}  // namespace
}  // namespace watari::logs
