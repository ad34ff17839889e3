#include "logs/segment.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace watari::logs {
namespace {

namespace fs = std::filesystem;

class Segments : public testing::Test {
 protected:
  Segments() {
    std::string pattern = (fs::temp_directory_path() / "watari-segments-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  ~Segments() override { fs::remove_all(directory_); }

  std::string read(std::uint64_t sequence) const {
    std::ifstream in(directory_ + "/" + segment_name(sequence), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  SegmentWriter writer(std::uint64_t size = kSegmentSize) { return *SegmentWriter::open(directory_, size); }

  std::string directory_;
};

std::vector<std::pair<std::string, int>> records(std::string_view bytes) {
  std::vector<std::pair<std::string, int>> out;
  EXPECT_EQ(bytes.substr(0, 8), kSegmentMagic);
  std::size_t offset = 8;
  while (auto record = read_record(bytes, offset)) out.emplace_back(std::string(record->text), record->flags);
  return out;
}

using Lines = std::vector<std::pair<std::string, int>>;

TEST(Crc32c, IsTheCastagnoliOne) { EXPECT_EQ(crc32c("123456789"), 0xe3069283U); }

TEST_F(Segments, LinesAreSplitAtNewlinesAcrossAppends) {
  auto out = writer();
  out.append(Stream::Stdout, 1, "one\ntw");
  out.append(Stream::Stderr, 2, "error\n");
  out.append(Stream::Stdout, 3, "o\n\nend");
  ASSERT_TRUE(out.finish(4));
  EXPECT_EQ(records(read(1)), (Lines{{"one", 0}, {"error", 0}, {"two", 0}, {"", 0}, {"end", 0}}));
}

TEST_F(Segments, ALongLineIsCutIntoPartialRecordsAndNothingIsLost) {
  auto out = writer();
  std::string line(kMaxLine * 2 + 5, 'x');
  out.append(Stream::Stdout, 1, line + "\nnext\n");
  ASSERT_TRUE(out.finish(2));
  auto got = records(read(1));
  ASSERT_EQ(got.size(), 4U);
  EXPECT_EQ(got[0].second, kPartial);
  EXPECT_EQ(got[1].second, kPartial);
  EXPECT_EQ(got[2].second, 0);
  EXPECT_EQ(got[0].first + got[1].first + got[2].first, line);
  EXPECT_EQ(got[3].first, "next");
}

TEST_F(Segments, ALineOfExactlyTheMaximumIsOneLine) {
  auto out = writer();
  out.append(Stream::Stdout, 1, std::string(kMaxLine, 'x') + "\ny\n");
  ASSERT_TRUE(out.finish(2));
  std::string all;
  auto got = records(read(1));
  EXPECT_EQ(got.back().first, "y");
  for (std::size_t i = 0; i + 1 < got.size(); ++i) all += got[i].first;
  EXPECT_EQ(all, std::string(kMaxLine, 'x'));
  EXPECT_EQ(got[got.size() - 2].second, 0);
}

TEST_F(Segments, AnUnfinishedLineCanBeReadBeforeItsEnd) {
  auto out = writer();
  out.append(Stream::Stdout, 1, "password: ");
  EXPECT_TRUE(out.has_unfinished());
  out.release_unfinished(2);
  ASSERT_TRUE(out.flush());
  EXPECT_EQ(records(read(1)), (Lines{{"password: ", kPartial}}));
  ASSERT_TRUE(out.finish(3));
  EXPECT_EQ(records(read(1)), (Lines{{"password: ", kPartial}, {"", 0}}));
}

TEST_F(Segments, AFullSegmentIsFollowedByTheNext) {
  auto out = writer(100);
  for (int i = 0; i < 10; ++i) {
    out.append(Stream::Stdout, i, "a line of some length " + std::to_string(i) + "\n");
    ASSERT_TRUE(out.flush());
  }
  std::size_t lines = 0;
  std::uint64_t sequence = 1;
  for (; fs::exists(directory_ + "/" + segment_name(sequence)); ++sequence) lines += records(read(sequence)).size();
  EXPECT_GT(sequence, 3U);
  EXPECT_EQ(lines, 10U);
}

TEST_F(Segments, ANewWriterStartsItsOwnSegment) {
  for (int life = 0; life < 3; ++life) {
    auto out = writer();
    out.append(Stream::Stdout, 1, "hello\n");
    ASSERT_TRUE(out.flush());
  }
  for (std::uint64_t sequence : {1, 2, 3}) EXPECT_EQ(records(read(sequence)), (Lines{{"hello", 0}}));
}

TEST_F(Segments, ATornRecordEndsReadingAtEveryLength) {
  std::string bytes(kSegmentMagic);
  append_record(bytes, {1, Stream::Stdout, 0, "first"});
  auto intact = bytes.size();
  append_record(bytes, {2, Stream::Stdout, 0, "second"});
  for (auto cut = intact; cut < bytes.size(); ++cut)
    EXPECT_EQ(records(std::string_view(bytes).substr(0, cut)), (Lines{{"first", 0}})) << cut;
}

TEST_F(Segments, ReadingGoesOnBehindADamagedRecord) {
  std::string bytes(kSegmentMagic);
  append_record(bytes, {1, Stream::Stdout, 0, "first"});
  auto damaged = bytes.size();
  append_record(bytes, {2, Stream::Stdout, 0, "second"});
  auto third = bytes.size();
  append_record(bytes, {3, Stream::Stderr, 0, "third"});
  bytes[damaged + 5] = 'x';
  std::size_t offset = damaged;
  EXPECT_FALSE(read_record(bytes, offset));
  EXPECT_EQ(find_record(bytes, damaged), third);
}

// Needs root: a tmpfs of 256 KiB stands for the disk.
TEST_F(Segments, AFullDiskLosesOnlyWhatDoesNotFitAndSaysSo) {
  if (::mount("tmpfs", directory_.c_str(), "tmpfs", 0, "size=256k") != 0) GTEST_SKIP() << "cannot mount a tmpfs";
  {
    auto out = writer();
    std::string line(1000, 'x');
    line += '\n';
    for (int i = 0; i < 20000; ++i) {
      out.append(Stream::Stdout, i, line);
      (void)out.flush();
    }
    EXPECT_FALSE(out.flush());
    auto first = read(1);
    std::size_t offset = 8, kept = 0;
    while (read_record(first, offset)) ++kept;
    EXPECT_GT(kept, 200U);
    ASSERT_EQ(::mount("tmpfs", directory_.c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0);
    ASSERT_TRUE(out.flush());
    out.append(Stream::Stdout, 1, "after\n");
    ASSERT_TRUE(out.flush());
    ASSERT_TRUE(out.flush());
    std::size_t lines = 0, lost = 0;
    std::string last;
    std::uint64_t sequence = 1;
    for (; fs::exists(directory_ + "/" + segment_name(sequence)); ++sequence)
      for (const auto& [text, flags] : records(read(sequence))) {
        if (flags & kNotice) lost = std::stoull(text.substr(8));
        else if (text.size() == 1000) ++lines;
        else last = text;
      }
    EXPECT_EQ(lines + lost / 1000, 20000U);
    EXPECT_GT(lost, 0U);
    EXPECT_EQ(last, "after");
  }
  ::umount(directory_.c_str());
}

TEST(SegmentName, RoundTrips) {
  EXPECT_EQ(segment_name(7), "000000000007.seg");
  EXPECT_EQ(segment_sequence("000000000007.seg"), 7U);
  EXPECT_FALSE(segment_sequence("7.seg"));
  EXPECT_FALSE(segment_sequence("00000000000x.seg"));
}

}  // namespace
}  // namespace watari::logs
