#pragma once
// Where in a stream's segments which times lie: runs of records ("blocks") of about 64 KiB with their first and last time.
// In memory only, built by reading the segments once and extended as they grow; so that a query reads the blocks it needs.
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "logs/segment.h"

namespace watari::logs {

struct Block {
  std::uint64_t sequence = 0;       // of the segment
  std::uint64_t begin = 0, end = 0; // bytes of whole records
  std::int64_t first_ns = 0, last_ns = 0;  // smallest and largest time
  bool continues[2] = {false, false};      // before it: the last record of the stream was a partial one
};

// One stream. Any thread.
class StreamIndex {
 public:
  explicit StreamIndex(std::string directory) : directory_(std::move(directory)) {}

  // The blocks as of now, oldest segment first.
  std::vector<Block> blocks();

 private:
  struct Segment {
    std::uint64_t scanned = 0;  // everything before it is in `blocks`
    bool continues[2] = {false, false};
    std::vector<Block> blocks;
  };
  void extend(std::uint64_t sequence, Segment& segment);
  static void add(std::uint64_t sequence, Segment& segment, std::uint64_t begin, std::uint64_t end, const Record& record);

  std::string directory_;
  std::mutex mutex_;
  std::map<std::uint64_t, Segment> segments_;
};

// Sequence numbers of the segments in a stream's folder, ascending.
std::vector<std::uint64_t> segments_in(const std::string& directory);

// Bytes [begin, end) of a segment; fewer when the file is shorter (or gone).
std::string read_segment(const std::string& directory, std::uint64_t sequence, std::uint64_t begin, std::uint64_t end);

// Calls `visit(offset, record)` for the events of a block: its records but for the empty ends of partial lines.
template <class Visit>
void each_event(const std::string& directory, const Block& block, Visit&& visit) {
  auto bytes = read_segment(directory, block.sequence, block.begin, block.end);
  bool continues[2] = {block.continues[0], block.continues[1]};
  std::size_t offset = 0;
  while (offset < bytes.size()) {
    auto at = offset;
    auto record = read_record(bytes, offset);
    if (!record) {
      offset = find_record(bytes, at + 1);
      continue;
    }
    auto index = static_cast<std::size_t>(record->stream) == 2 ? 1 : 0;
    bool only_the_end = continues[index] && record->text.empty();
    continues[index] = record->flags & kPartial;
    if (!only_the_end) visit(block.begin + at, *record);
  }
}

}  // namespace watari::logs
