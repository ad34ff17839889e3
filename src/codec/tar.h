#pragma once
// Tar archives, written and read as streams. Written: POSIX pax (ustar headers, a pax record only where ustar has no room),
// byte for byte the same for the same entries, now and in later versions, since layer digests are made of it. Read: ustar, pax, GNU long names
// and base-256 numbers, v7. Names are bytes, never converted. Why not libarchive: it converts names through the locale, and a
// layer's digest must not depend on the version of a library.
// Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html, https://www.gnu.org/software/tar/manual/html_node/Standard.html
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "codec/stream.h"

namespace watari::codec {

struct TarEntry {
  enum class Kind { File, HardLink, Symlink, CharDevice, BlockDevice, Directory, Fifo };
  std::string path;  // without a trailing slash when it was read
  Kind kind = Kind::File;
  std::string link;  // target of links
  std::uint32_t mode = 0644;  // 07777
  std::uint64_t uid = 0, gid = 0;
  std::int64_t size = 0;   // of the data that follows; only files have any
  std::int64_t mtime = 0;  // seconds
  std::uint32_t device_major = 0, device_minor = 0;
  std::map<std::string, std::string> xattrs;  // pax SCHILY.xattr.<name>
};

class TarWriter {
 public:
  explicit TarWriter(Sink sink) : sink_(std::move(sink)) {}
  // Then exactly entry.size bytes of data().
  Result<void> entry(const TarEntry& entry);
  Result<void> data(std::string_view bytes);
  Result<void> finish();  // two zero blocks
  std::int64_t bytes_written() const { return written_; }

 private:
  Result<void> put(std::string_view bytes);
  Result<void> pad();
  Sink sink_;
  std::int64_t written_ = 0;
};

class TarReader {
 public:
  explicit TarReader(Source source) : source_(std::move(source)) {}
  // The next entry, or nothing at the end. Skips what is unread of the one before. Corrupt for damaged archives;
  // InvalidArgument, naming it, for what is not supported (sparse entries, multi-volume archives).
  Result<std::optional<TarEntry>> next();
  // Data of the entry; 0 at its end.
  Result<std::size_t> read(std::span<char> into);

 private:
  using Records = std::map<std::string, std::string>;
  Result<bool> block(char* into);
  Result<void> exactly(std::span<char> into);
  Result<void> skip(std::int64_t count);
  Result<std::string> extension(std::int64_t size);
  Result<void> apply(const Records& records, TarEntry& entry);

  Source source_;
  Records global_;
  std::int64_t left_ = 0, padding_ = 0;
  bool ended_ = false;
};

}  // namespace watari::codec
