#include "codec/tar.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/strings.h"

namespace watari::codec {

namespace {

constexpr std::int64_t kBlock = 512;
constexpr std::int64_t kMaxExtension = 1 << 20;  // pax records and long names of one entry
constexpr std::string_view kXattrPrefix = "SCHILY.xattr.";

struct Header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6], version[2], user[32], group[32],
      major[8], minor[8], prefix[155], rest[12];
};
static_assert(sizeof(Header) == kBlock);

// ---- writing ----

// False when the number has no room; the field is then left at zero and a pax record carries it.
template <std::size_t N>
bool put_octal(char (&field)[N], std::uint64_t value) {
  bool fits = value < (std::uint64_t{1} << (3 * (N - 1)));
  if (!fits) value = 0;
  for (std::size_t i = N - 1; i-- > 0; value >>= 3) field[i] = static_cast<char>('0' + (value & 7));
  return fits;
}

template <std::size_t N>
bool put_text(char (&field)[N], std::string_view text) {
  std::memcpy(field, text.data(), std::min(N, text.size()));
  return text.size() <= N;
}

void put_checksum(Header& header) {
  std::memset(header.checksum, ' ', sizeof header.checksum);
  unsigned sum = 0;
  for (auto* byte = reinterpret_cast<const unsigned char*>(&header); byte != reinterpret_cast<const unsigned char*>(&header + 1); ++byte)
    sum += *byte;
  for (int i = 5; i >= 0; --i, sum >>= 3) header.checksum[i] = static_cast<char>('0' + (sum & 7));
  header.checksum[6] = '\0';
}

// "LENGTH key=value\n", where LENGTH counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  std::size_t rest = key.size() + value.size() + 3, length = rest;
  while (length != rest + std::to_string(length).size()) length = rest + std::to_string(length).size();
  return fmt::format("{} {}={}\n", length, key, value);
}

char type_of(TarEntry::Kind kind) { return "0123456"[static_cast<int>(kind)]; }

std::string_view bytes_of(const Header& header) { return {reinterpret_cast<const char*>(&header), sizeof header}; }

Header basic_header(char type) {
  Header header{};
  header.type = type;
  std::memcpy(header.magic, "ustar", 6);
  std::memcpy(header.version, "00", 2);
  put_octal(header.mode, 0644);
  put_octal(header.uid, 0);
  put_octal(header.gid, 0);
  put_octal(header.mtime, 0);
  put_octal(header.major, 0);
  put_octal(header.minor, 0);
  return header;
}

}  // namespace

Result<void> TarWriter::put(std::string_view bytes) {
  written_ += static_cast<std::int64_t>(bytes.size());
  return sink_(bytes);
}

Result<void> TarWriter::pad() {
  static constexpr std::array<char, kBlock> zeros{};
  if (auto over = written_ % kBlock) return put({zeros.data(), static_cast<std::size_t>(kBlock - over)});
  return {};
}

Result<void> TarWriter::entry(const TarEntry& entry) {
  TRY_VOID(pad());
  std::string path = entry.path + (entry.kind == TarEntry::Kind::Directory ? "/" : "");
  std::string pax;  // in the order of the names, so that there is one way to write an entry
  Header header = basic_header(type_of(entry.kind));
  if (!put_octal(header.gid, entry.gid)) pax += pax_record("gid", std::to_string(entry.gid));
  if (!put_text(header.link, entry.link)) pax += pax_record("linkpath", entry.link);
  if (entry.mtime < 0 || !put_octal(header.mtime, static_cast<std::uint64_t>(entry.mtime))) {
    put_octal(header.mtime, 0);
    pax += pax_record("mtime", std::to_string(entry.mtime));
  }
  if (!put_text(header.name, path)) pax += pax_record("path", path);
  for (const auto& [name, value] : entry.xattrs) pax += pax_record(std::string(kXattrPrefix) + name, value);
  if (!put_octal(header.size, static_cast<std::uint64_t>(entry.size))) pax += pax_record("size", std::to_string(entry.size));
  if (!put_octal(header.uid, entry.uid)) pax += pax_record("uid", std::to_string(entry.uid));
  put_octal(header.mode, entry.mode & 07777);
  put_octal(header.major, entry.device_major);
  put_octal(header.minor, entry.device_minor);
  put_checksum(header);
  if (!pax.empty()) {
    Header extension = basic_header('x');
    put_text(extension.name, "pax");
    put_octal(extension.size, pax.size());
    put_checksum(extension);
    TRY_VOID(put(bytes_of(extension)));
    TRY_VOID(put(pax));
    TRY_VOID(pad());
  }
  return put(bytes_of(header));
}

Result<void> TarWriter::data(std::string_view bytes) { return put(bytes); }

Result<void> TarWriter::finish() {
  TRY_VOID(pad());
  static constexpr std::array<char, 2 * kBlock> zeros{};
  return put({zeros.data(), zeros.size()});
}

// ---- reading ----

namespace {

auto corrupt(std::string_view what) { return fail(Code::Corrupt, "damaged tar archive: {}", what); }

template <std::size_t N>
std::string text_of(const char (&field)[N]) {
  return std::string(field, strnlen(field, N));
}

// Octal, padded with spaces or zeros, or base 256 when the first bit is set (GNU).
template <std::size_t N>
Result<std::int64_t> number_of(const char (&field)[N]) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(field[i]); };
  if (byte(0) & 0x80) {
    bool negative = byte(0) & 0x40;
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = 0; i < N; ++i) {
      unsigned digit = i ? byte(i) : (negative ? byte(0) : byte(0) & 0x7fu);
      bool lost = negative ? (value >> 55) != 0x1ff : (value >> 55) != 0;
      if (lost) return corrupt("a number is too large");
      value = value << 8 | digit;
    }
    return static_cast<std::int64_t>(value);
  }
  std::int64_t value = 0;
  std::size_t i = 0;
  while (i < N && (field[i] == ' ' || field[i] == '\0')) ++i;
  for (; i < N && field[i] != ' ' && field[i] != '\0'; ++i) {
    if (field[i] < '0' || field[i] > '7') return corrupt("a number is not octal");
    value = value * 8 + (field[i] - '0');
  }
  return value;
}

bool checksum_matches(const Header& header) {
  auto wanted = number_of(header.checksum);
  if (!wanted) return false;
  Header copy = header;
  std::memset(copy.checksum, ' ', sizeof copy.checksum);
  std::int64_t sum = 0, signed_sum = 0;  // some old writers summed signed characters
  for (char c : bytes_of(copy)) {
    sum += static_cast<unsigned char>(c);
    signed_sum += static_cast<signed char>(c);
  }
  return *wanted == sum || *wanted == signed_sum;
}

Result<void> parse_pax(std::string_view text, std::map<std::string, std::string>& out) {
  while (!text.empty()) {
    auto space = text.find(' ');
    auto length = parse_number<std::size_t>(text.substr(0, std::min<std::size_t>(space, 20)));
    if (space == text.npos || !length || *length > text.size() || *length < space + 3 || text[*length - 1] != '\n')
      return corrupt("a pax record has a wrong length");
    auto record = text.substr(space + 1, *length - space - 2);
    auto equals = record.find('=');
    if (equals == record.npos || equals == 0) return corrupt("a pax record has no name");
    out[std::string(record.substr(0, equals))] = record.substr(equals + 1);
    text.remove_prefix(*length);
  }
  return {};
}

Result<TarEntry> entry_of(const Header& header, std::optional<std::int64_t>& data_size) {
  TarEntry entry;
  TRY(auto mode, number_of(header.mode));
  TRY(auto uid, number_of(header.uid));
  TRY(auto gid, number_of(header.gid));
  TRY(auto size, number_of(header.size));
  TRY(entry.mtime, number_of(header.mtime));
  if (size < 0 || uid < 0 || gid < 0) return corrupt("a negative size or owner");
  entry.mode = static_cast<std::uint32_t>(mode) & 07777;
  entry.uid = static_cast<std::uint64_t>(uid);
  entry.gid = static_cast<std::uint64_t>(gid);
  data_size = size;
  entry.path = text_of(header.name);
  entry.link = text_of(header.link);
  bool posix = std::memcmp(header.magic, "ustar\0", 6) == 0;
  if (posix && header.prefix[0]) entry.path = text_of(header.prefix) + "/" + entry.path;
  using Kind = TarEntry::Kind;
  switch (header.type) {
    case '\0': case '0': case '7': entry.kind = entry.path.ends_with('/') ? Kind::Directory : Kind::File; break;
    case '1': entry.kind = Kind::HardLink; break;
    case '2': entry.kind = Kind::Symlink; break;
    case '3': entry.kind = Kind::CharDevice; break;
    case '4': entry.kind = Kind::BlockDevice; break;
    case '5': entry.kind = Kind::Directory; break;
    case '6': entry.kind = Kind::Fifo; break;
    case 'S': return fail(Code::InvalidArgument, "tar entry {} is sparse (GNU), which is not supported; write it without --sparse", entry.path);
    default:
      return fail(Code::InvalidArgument, "tar entry {} has the type '{}', which is not supported", entry.path, header.type);
  }
  if (entry.kind == Kind::CharDevice || entry.kind == Kind::BlockDevice) {
    TRY(auto major, number_of(header.major));
    TRY(auto minor, number_of(header.minor));
    entry.device_major = static_cast<std::uint32_t>(major);
    entry.device_minor = static_cast<std::uint32_t>(minor);
  }
  return entry;
}

}  // namespace

Result<void> TarReader::exactly(std::span<char> into) {
  while (!into.empty()) {
    TRY(auto count, source_(into));
    if (count == 0) return corrupt("it ends in the middle");
    into = into.subspan(count);
  }
  return {};
}

// False at a clean end of the source.
Result<bool> TarReader::block(char* into) {
  std::size_t filled = 0;
  while (filled < kBlock) {
    TRY(auto count, source_(std::span(into + filled, kBlock - filled)));
    if (count == 0) {
      if (filled) return corrupt("it ends in the middle");
      return false;
    }
    filled += count;
  }
  return true;
}

Result<void> TarReader::skip(std::int64_t count) {
  std::array<char, 16384> buffer;
  while (count > 0) {
    auto piece = std::min<std::int64_t>(count, buffer.size());
    TRY_VOID(exactly(std::span(buffer.data(), static_cast<std::size_t>(piece))));
    count -= piece;
  }
  return {};
}

Result<std::string> TarReader::extension(std::int64_t size) {
  if (size > kMaxExtension) return corrupt("an extended header is larger than 1 MiB");
  std::string text(static_cast<std::size_t>(size), '\0');
  TRY_VOID(exactly(text));
  TRY_VOID(skip((kBlock - size % kBlock) % kBlock));
  return text;
}

Result<void> TarReader::apply(const Records& records, TarEntry& entry) {
  for (const auto& [key, value] : records) {
    if (key.starts_with("GNU.sparse."))
      return fail(Code::InvalidArgument, "tar entry {} is sparse (pax), which is not supported; write it without --sparse", entry.path);
    if (key.starts_with(kXattrPrefix)) entry.xattrs[key.substr(kXattrPrefix.size())] = value;
    if (key == "path") entry.path = value;
    if (key == "linkpath") entry.link = value;
    bool number = true;
    if (key == "size") {
      auto size = parse_number<std::int64_t>(value);
      if ((number = size && *size >= 0)) entry.size = *size;
    } else if (key == "uid" || key == "gid") {
      auto id = parse_number<std::uint64_t>(value);
      if ((number = id.has_value())) (key == "uid" ? entry.uid : entry.gid) = *id;
    } else if (key == "mtime") {
      auto seconds = parse_number<std::int64_t>(std::string_view(value).substr(0, value.find('.')));
      if ((number = seconds.has_value())) entry.mtime = *seconds;
    }
    if (!number) return corrupt(fmt::format("the pax record {} is not a number", key));
  }
  return {};
}

Result<std::optional<TarEntry>> TarReader::next() {
  if (ended_) return std::nullopt;
  TRY_VOID(skip(left_ + padding_));
  left_ = padding_ = 0;
  Records records = global_;
  std::string long_name, long_link;
  while (true) {
    Header header;
    TRY(bool more, block(reinterpret_cast<char*>(&header)));
    auto raw = bytes_of(header);
    if (!more || std::ranges::all_of(raw, [](char c) { return c == '\0'; })) {
      ended_ = true;
      return std::nullopt;
    }
    if (!checksum_matches(header)) return corrupt("a header has a wrong checksum");
    TRY(auto size, number_of(header.size));
    if (size < 0) return corrupt("a negative size");
    if (header.type == 'x' || header.type == 'g') {
      TRY(auto text, extension(size));
      if (header.type == 'g') TRY_VOID(parse_pax(text, global_));
      TRY_VOID(parse_pax(text, records));
      continue;
    }
    if (header.type == 'L' || header.type == 'K') {
      TRY(auto text, extension(size));
      text.resize(strnlen(text.data(), text.size()));
      (header.type == 'L' ? long_name : long_link) = text;
      continue;
    }
    std::optional<std::int64_t> data_size;
    TRY(auto entry, entry_of(header, data_size));
    entry.size = *data_size;
    if (!long_name.empty()) entry.path = long_name;
    if (!long_link.empty()) entry.link = long_link;
    TRY_VOID(apply(records, entry));
    // Only files carry data, whatever the size field of a link says.
    if (entry.kind != TarEntry::Kind::File) entry.size = 0;
    while (entry.path.size() > 1 && entry.path.ends_with('/')) entry.path.pop_back();
    left_ = entry.size;
    padding_ = (kBlock - left_ % kBlock) % kBlock;
    return entry;
  }
}

Result<std::size_t> TarReader::read(std::span<char> into) {
  if (left_ == 0) return std::size_t{0};
  auto wanted = std::min<std::int64_t>(left_, static_cast<std::int64_t>(into.size()));
  TRY(auto count, source_(into.first(static_cast<std::size_t>(wanted))));
  if (count == 0) return corrupt("it ends in the middle");
  left_ -= static_cast<std::int64_t>(count);
  return count;
}

}  // namespace watari::codec
