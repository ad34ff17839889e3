#pragma once
// Log segments: append-only files of records, written by the shim of a task, read by the daemon while they grow.
// The format is described byte by byte in docs/formats/log-segment.md. Depends on base only, since the static shim uses it.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace watari::logs {

inline constexpr std::string_view kSegmentMagic{"WATARIL1", 8};  // first bytes of each segment file
inline constexpr std::size_t kRecordHeader = 20;                 // bytes before a record's text
inline constexpr std::size_t kMaxLine = 256 * 1024;              // longest text of one record
inline constexpr std::uint64_t kSegmentSize = 64 * 1024 * 1024;  // a segment that reached it is followed by the next one

enum class Stream : std::uint8_t { Stdout = 1, Stderr = 2 };

enum RecordFlags : std::uint8_t {
  kPartial = 1,  // the line goes on in the next record of the same stream
  kNotice = 2,   // not said by the application but by the writer: how many bytes were lost to a full disk
};

// A line (without its newline), or a part of one.
struct Record {
  std::int64_t time_ns = 0;  // wall clock when it was read from the pipe, nanoseconds since the epoch; may step back with the clock
  Stream stream = Stream::Stdout;
  std::uint8_t flags = 0;
  std::string_view text;
};

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);

void append_record(std::string& out, const Record& record);

// The record at `offset` of a segment's bytes, and moves `offset` behind it. nullopt: the record there is not complete
// (still being written, or torn by a crash) or damaged; `offset` stays.
std::optional<Record> read_record(std::string_view bytes, std::size_t& offset);

// Offset of the next intact record behind a damaged one, or bytes.size(): to go on reading after lost disk blocks.
std::size_t find_record(std::string_view bytes, std::size_t from);

std::string segment_name(std::uint64_t sequence);                     // 000000000001.seg
std::optional<std::uint64_t> segment_sequence(std::string_view name);  // of a file name

// Writes one container's output. Owned by the shim, one thread. Each life of a writer begins a segment of its own, so a torn
// record can only be the last one of a file. A full disk does not stop the application: bytes wait in memory (up to
// kMaxPending), then get lost and counted, and a notice record says how many once the disk takes bytes again.
class SegmentWriter {
 public:
  static constexpr std::size_t kMaxPending = 8 * 1024 * 1024;

  // Creates `directory` when missing. The first segment file appears with the first record.
  static Result<SegmentWriter> open(std::string directory, std::uint64_t segment_size = kSegmentSize);
  SegmentWriter(SegmentWriter&& other) noexcept;
  SegmentWriter& operator=(SegmentWriter&&) = delete;
  ~SegmentWriter();  // finish()

  // Takes what was read from a stream, cuts it into lines; an unfinished line waits for its end.
  void append(Stream stream, std::int64_t time_ns, std::string_view bytes);
  // Unfinished lines become partial records: so that a prompt can be read, and nothing waits in memory for long.
  void release_unfinished(std::int64_t time_ns);
  bool has_unfinished() const { return !unfinished_[0].empty() || !unfinished_[1].empty(); }
  // One write(2) for all that was appended. Unavailable when the disk does not take it; call again later.
  Result<void> flush();
  // The end of the streams: an unfinished line becomes a whole one. Flushes.
  Result<void> finish(std::int64_t time_ns);

 private:
  SegmentWriter(std::string directory, std::uint64_t segment_size, std::uint64_t sequence);
  Result<void> next_segment();
  void add(const Record& record);

  std::string directory_;
  std::uint64_t segment_size_, sequence_;
  int fd_ = -1;
  std::uint64_t written_ = 0;  // bytes of the open segment
  std::string pending_;        // complete records (the first may be half written already)
  bool torn_ = false;          // the open segment ends in a cut record, whose rest begins pending_
  std::int64_t last_time_ = 0;
  std::uint64_t lost_ = 0;     // bytes dropped since the disk refused
  std::string unfinished_[2];
  bool continues_[2] = {false, false};  // the last record of the stream was a partial one
};

}  // namespace watari::logs
