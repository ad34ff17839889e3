#include "logs/segment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/strings.h"

namespace watari::logs {
namespace {

static_assert(std::endian::native == std::endian::little, "integers are copied as they lie in memory");

constexpr std::uint8_t kSign[2] = {0x57, 0x4c};

constexpr auto kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    auto value = byte;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? (value >> 1) ^ 0x82f63b78U : value >> 1;
    table[byte] = value;
  }
  return table;
}();

std::uint32_t crc_table(std::string_view bytes, std::uint32_t crc) {
  for (unsigned char byte : bytes) crc = kCrcTable[(crc ^ byte) & 0xff] ^ (crc >> 8);
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc_instruction(std::string_view bytes, std::uint32_t crc) {
  std::uint64_t wide = crc;
  while (bytes.size() >= 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data(), 8);
    wide = __builtin_ia32_crc32di(wide, word);
    bytes.remove_prefix(8);
  }
  return crc_table(bytes, static_cast<std::uint32_t>(wide));
}
#endif

template <class Integer>
Integer load(std::string_view bytes, std::size_t offset) {
  Integer value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed) {
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("sse4.2");
  if (fast) return ~crc_instruction(bytes, ~seed);
#endif
  return ~crc_table(bytes, ~seed);
}

void append_record(std::string& out, const Record& record) {
  auto start = out.size();
  std::array<char, kRecordHeader> header{};
  auto length = static_cast<std::uint32_t>(record.text.size());
  std::memcpy(&header[4], &length, 4);
  std::memcpy(&header[8], &record.time_ns, 8);
  header[16] = static_cast<char>(record.stream);
  header[17] = static_cast<char>(record.flags);
  std::memcpy(&header[18], kSign, 2);
  out.append(header.data(), header.size());
  out.append(record.text);
  auto crc = crc32c(std::string_view(out).substr(start + 4));
  std::memcpy(out.data() + start, &crc, 4);
}

std::optional<Record> read_record(std::string_view bytes, std::size_t& offset) {
  if (offset > bytes.size() || bytes.size() - offset < kRecordHeader) return std::nullopt;
  auto rest = bytes.substr(offset);
  auto length = load<std::uint32_t>(rest, 4);
  if (length > kMaxLine || rest.size() - kRecordHeader < length) return std::nullopt;
  if (std::memcmp(rest.data() + 18, kSign, 2) != 0) return std::nullopt;
  auto whole = rest.substr(0, kRecordHeader + length);
  if (crc32c(whole.substr(4)) != load<std::uint32_t>(whole, 0)) return std::nullopt;
  offset += whole.size();
  return Record{load<std::int64_t>(whole, 8), static_cast<Stream>(whole[16]), static_cast<std::uint8_t>(whole[17]),
                whole.substr(kRecordHeader)};
}

std::size_t find_record(std::string_view bytes, std::size_t from) {
  std::string_view sign(reinterpret_cast<const char*>(kSign), 2);
  for (auto at = bytes.find(sign, from + 18); at != std::string_view::npos; at = bytes.find(sign, at + 1)) {
    auto offset = at - 18;
    auto next = offset;
    if (read_record(bytes, next)) return offset;
  }
  return bytes.size();
}

std::string segment_name(std::uint64_t sequence) { return fmt::format("{:012}.seg", sequence); }

std::optional<std::uint64_t> segment_sequence(std::string_view name) {
  if (name.size() != 16 || !name.ends_with(".seg")) return std::nullopt;
  return parse_number<std::uint64_t>(name.substr(0, 12));
}

SegmentWriter::SegmentWriter(std::string directory, std::uint64_t segment_size, std::uint64_t sequence)
    : directory_(std::move(directory)), segment_size_(segment_size), sequence_(sequence) {}

SegmentWriter::SegmentWriter(SegmentWriter&& other) noexcept
    : directory_(std::move(other.directory_)),
      segment_size_(other.segment_size_),
      sequence_(other.sequence_),
      fd_(std::exchange(other.fd_, -1)),
      written_(other.written_),
      pending_(std::exchange(other.pending_, {})),
      torn_(other.torn_),
      last_time_(other.last_time_),
      lost_(other.lost_) {
  for (int i = 0; i < 2; ++i) {
    unfinished_[i] = std::exchange(other.unfinished_[i], {});
    continues_[i] = other.continues_[i];
  }
}

Result<SegmentWriter> SegmentWriter::open(std::string directory, std::uint64_t segment_size) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return fail(Code::Unavailable, "create log directory {}: {}", directory, error.message());
  std::uint64_t last = 0;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    if (auto sequence = segment_sequence(it->path().filename().string())) last = std::max(last, *sequence);
  if (error) return fail(Code::Unavailable, "list log directory {}: {}", directory, error.message());
  return SegmentWriter(std::move(directory), segment_size, last);
}

SegmentWriter::~SegmentWriter() {
  if (!directory_.empty()) (void)flush();
  if (fd_ >= 0) ::close(fd_);
}

void SegmentWriter::add(const Record& record) {
  last_time_ = record.time_ns;
  if (pending_.size() + record.text.size() + kRecordHeader > kMaxPending) {
    lost_ += record.text.size();
    return;
  }
  append_record(pending_, record);
}

void SegmentWriter::append(Stream stream, std::int64_t time_ns, std::string_view bytes) {
  auto index = static_cast<std::size_t>(stream) - 1;
  auto& line = unfinished_[index];
  while (!bytes.empty()) {
    auto newline = bytes.find('\n');
    auto part = bytes.substr(0, std::min(newline, kMaxLine - line.size()));
    bool whole = newline == part.size();
    bytes.remove_prefix(part.size() + (whole ? 1 : 0));
    std::string_view text = part;
    if (!line.empty()) text = line.append(part);
    if (!whole && text.size() < kMaxLine) {
      if (line.empty()) line = part;
      return;
    }
    add({time_ns, stream, whole ? std::uint8_t{0} : std::uint8_t{kPartial}, text});
    continues_[index] = !whole;
    line.clear();
  }
}

void SegmentWriter::release_unfinished(std::int64_t time_ns) {
  for (std::size_t i = 0; i < 2; ++i) {
    if (unfinished_[i].empty()) continue;
    add({time_ns, static_cast<Stream>(i + 1), kPartial, unfinished_[i]});
    continues_[i] = true;
    unfinished_[i].clear();
  }
}

Result<void> SegmentWriter::next_segment() {
  auto path = directory_ + "/" + segment_name(sequence_ + 1);
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) return fail(Code::Unavailable, "create log segment {}: {}", path, std::strerror(errno));
  if (::write(fd, kSegmentMagic.data(), kSegmentMagic.size()) != static_cast<ssize_t>(kSegmentMagic.size())) {
    auto message = fail(Code::Unavailable, "write log segment {}: {}", path, std::strerror(errno));
    ::close(fd);
    ::unlink(path.c_str());
    return message;
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  ++sequence_;
  written_ = kSegmentMagic.size();
  return {};
}

Result<void> SegmentWriter::flush() {
  if (lost_ && pending_.size() < kMaxPending / 2) {
    auto text = fmt::format("watari: {} bytes of output were lost: no space left on device", lost_);
    append_record(pending_, {last_time_, Stream::Stderr, kNotice, text});
    lost_ = 0;
  }
  while (!pending_.empty()) {
    if (!torn_ && (fd_ < 0 || written_ >= segment_size_)) TRY_VOID(next_segment());
    auto n = ::write(fd_, pending_.data(), pending_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Code::Unavailable, "write to {}: {}", directory_, std::strerror(errno));
    auto done = static_cast<std::size_t>(n);
    written_ += done;
    // After a short write the rest of the cut record must go into this same file.
    torn_ = done < pending_.size();
    pending_.erase(0, done);
  }
  return {};
}

Result<void> SegmentWriter::finish(std::int64_t time_ns) {
  for (std::size_t i = 0; i < 2; ++i) {
    if (unfinished_[i].empty() && !continues_[i]) continue;
    add({time_ns, static_cast<Stream>(i + 1), 0, unfinished_[i]});
    unfinished_[i].clear();
    continues_[i] = false;
  }
  return flush();
}

}  // namespace watari::logs
