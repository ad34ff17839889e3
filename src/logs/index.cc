#include "logs/index.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace watari::logs {
namespace {

constexpr std::uint64_t kBlock = 64 * 1024;
constexpr std::uint64_t kStep = 4 * 1024 * 1024;  // read at once; more than one record

std::uint64_t size_of(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

}  // namespace

std::vector<std::uint64_t> segments_in(const std::string& directory) {
  std::vector<std::uint64_t> out;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    if (auto sequence = segment_sequence(it->path().filename().string())) out.push_back(*sequence);
  std::ranges::sort(out);
  return out;
}

std::string read_segment(const std::string& directory, std::uint64_t sequence, std::uint64_t begin, std::uint64_t end) {
  std::string out;
  int fd = ::open((directory + "/" + segment_name(sequence)).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return out;
  out.resize(end - begin);
  std::size_t got = 0;
  while (got < out.size()) {
    auto n = ::pread(fd, out.data() + got, out.size() - got, static_cast<off_t>(begin + got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += static_cast<std::size_t>(n);
  }
  ::close(fd);
  out.resize(got);
  return out;
}

std::vector<Block> StreamIndex::blocks() {
  std::lock_guard lock(mutex_);
  auto present = segments_in(directory_);
  std::erase_if(segments_, [&](const auto& entry) { return !std::ranges::binary_search(present, entry.first); });
  std::vector<Block> out;
  for (auto sequence : present) {
    auto& segment = segments_[sequence];
    extend(sequence, segment);
    out.insert(out.end(), segment.blocks.begin(), segment.blocks.end());
  }
  return out;
}

void StreamIndex::extend(std::uint64_t sequence, Segment& segment) {
  auto size = size_of(directory_ + "/" + segment_name(sequence));
  if (segment.scanned == 0) {
    if (read_segment(directory_, sequence, 0, kSegmentMagic.size()) != kSegmentMagic) return;
    segment.scanned = kSegmentMagic.size();
  }
  while (segment.scanned < size) {
    auto bytes = read_segment(directory_, sequence, segment.scanned, std::min(size, segment.scanned + kStep));
    std::size_t offset = 0;
    while (true) {
      auto at = offset;
      auto record = read_record(bytes, offset);
      if (!record) break;
      add(sequence, segment, segment.scanned + at, segment.scanned + offset, *record);
    }
    if (offset == 0) {
      // Incomplete (it will be read again when the file has grown), or damaged: then go on behind the damage.
      auto next = find_record(bytes, 1);
      if (next == bytes.size()) return;
      offset = next;
    }
    segment.scanned += offset;
  }
}

void StreamIndex::add(std::uint64_t sequence, Segment& segment, std::uint64_t begin, std::uint64_t end, const Record& record) {
  auto& blocks = segment.blocks;
  if (blocks.empty() || blocks.back().end != begin || blocks.back().end - blocks.back().begin >= kBlock) {
    Block block{sequence, begin, begin, record.time_ns, record.time_ns, {segment.continues[0], segment.continues[1]}};
    blocks.push_back(block);
  }
  auto& block = blocks.back();
  block.end = end;
  block.first_ns = std::min(block.first_ns, record.time_ns);
  block.last_ns = std::max(block.last_ns, record.time_ns);
  segment.continues[record.stream == Stream::Stderr ? 1 : 0] = record.flags & kPartial;
}

}  // namespace watari::logs
