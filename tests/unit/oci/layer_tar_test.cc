#include "oci/layer_tar.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "codec/compress.h"
#include "codec/tar.h"
#include "oci/xattrs.h"
#include "tests/support/temporary_directory.h"

namespace watari::oci {

namespace fs = std::filesystem;
using codec::TarEntry;
using tests::TemporaryDirectory;
using Kind = TarEntry::Kind;

namespace {

std::string tar_of(const fs::path& directory) {
  std::string out;
  auto done = write_layer_tar(directory, [&](std::string_view bytes) -> Result<void> {
    out += bytes;
    return {};
  });
  EXPECT_TRUE(done) << done.error().message;
  return out;
}

// At most `piece` bytes at a time, since sockets give what they like.
codec::Source source_of(std::string bytes, std::size_t piece = 1 << 20) {
  auto text = std::make_shared<std::string>(std::move(bytes));
  return [text, piece, at = std::size_t{0}](std::span<char> into) mutable -> Result<std::size_t> {
    auto count = std::min({into.size(), piece, text->size() - at});
    std::memcpy(into.data(), text->data() + at, count);
    at += count;
    return count;
  };
}

void put(const fs::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

struct Archive {
  std::string bytes;
  codec::TarWriter writer{[this](std::string_view piece) -> Result<void> {
    bytes += piece;
    return {};
  }};
  Archive& add(TarEntry entry, std::string_view data = {}) {
    entry.size = static_cast<std::int64_t>(data.size());
    EXPECT_TRUE(writer.entry(entry));
    if (!data.empty()) EXPECT_TRUE(writer.data(data));
    return *this;
  }
  std::string done() {
    EXPECT_TRUE(writer.finish());
    return bytes;
  }
};

struct stat status_of(const fs::path& path) {
  struct stat status{};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

bool is_opaque(const fs::path& path) {
  char value[8] = {};
  return ::lgetxattr(path.c_str(), kOverlayOpaque, value, sizeof value) == 1 && value[0] == 'y';
}

bool is_deleted(const fs::path& path) {
  auto status = status_of(path);
  return S_ISCHR(status.st_mode) && status.st_rdev == 0;
}

}  // namespace

TEST(LayerTar, ComesBackAsTheSameDirectoryAndTheSameBytes) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: devices and trusted attributes";
  TemporaryDirectory from, to;
  const auto root = from.path();
  fs::create_directories(root / "etc/deep");
  put(root / "etc/file", "text");
  ASSERT_EQ(::chown((root / "etc/file").c_str(), 1000, 3'000'000), 0);  // a group without room in ustar
  ::chmod((root / "etc/file").c_str(), 06755);
  fs::create_hard_link(root / "etc/file", root / "etc/linked");
  fs::create_symlink("/absolute/target", root / "etc/symlink");
  fs::create_symlink(std::string(300, 'x'), root / "etc/long-symlink");
  put(root / "etc/deep" / std::string(200, 'n'), "long name");
  put(root / "etc" / "F\xc5\x91tan\xc3\xbas\xc3\xadtv\xc3\xa1ny \xff.pem", "bytes, not characters");
  ::mknod((root / "etc/gone").c_str(), S_IFCHR, 0);
  ::mknod((root / "null").c_str(), S_IFCHR | 0666, makedev(1, 3));
  ::mkfifo((root / "fifo").c_str(), 0600);
  fs::create_directory(root / "opaque");
  ::setxattr((root / "opaque").c_str(), kOverlayOpaque, "y", 1, 0);
  ::setxattr((root / "etc/file").c_str(), "user.note", "a\nb=c", 5, 0);
  const char capability[20] = {1, 0, 0, 2, 0, 4};  // cap_net_bind_service, version 2
  ::setxattr((root / "etc/linked").c_str(), "security.capability", capability, sizeof capability, 0);
  put(root / "sparse", "begin");
  fs::resize_file(root / "sparse", 8 << 20);
  const timespec old[2] = {{-5, 0}, {-5, 0}};
  ::utimensat(AT_FDCWD, (root / "fifo").c_str(), old, 0);

  const auto tar = tar_of(root);
  auto done = unpack_layer_tar(source_of(tar, 777), to.path());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(tar_of(to.path()), tar);
  auto file = status_of(to / "etc/file");
  EXPECT_EQ(file.st_mode & 07777u, 06755u);
  EXPECT_EQ(file.st_uid, 1000u);
  EXPECT_EQ(file.st_gid, 3'000'000u);
  EXPECT_EQ(file.st_ino, status_of(to / "etc/linked").st_ino);
  EXPECT_TRUE(is_deleted(to / "etc/gone"));
  EXPECT_TRUE(is_opaque(to / "opaque"));
  EXPECT_EQ(status_of(to / "null").st_rdev, makedev(1, 3));
  EXPECT_LT(status_of(to / "sparse").st_blocks * 512, 1 << 20);
  auto summary = summarize_layer(root);
  EXPECT_EQ(summary->size, static_cast<std::int64_t>(tar.size()));
}

TEST(LayerTar, IsReadByGnuTar) {
  TemporaryDirectory from, to;
  fs::create_directories(from / "a/b");
  put(from / "a/b" / std::string(150, 'q'), "x");
  put(to / "layer.tar", tar_of(from.path()));
  const auto command = "tar -xf " + (to / "layer.tar").string() + " -C " + to.path().string() + " 2>&1";
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_TRUE(fs::exists(to.path() / "a/b" / std::string(150, 'q')));
}

TEST(LayerTar, ReadsWhatGnuTarWrites) {
  TemporaryDirectory from, to;
  fs::create_directories(from.path() / "in" / std::string(120, 'd'));
  put(from.path() / "in" / std::string(120, 'd') / std::string(120, 'f'), "deep");
  for (std::string format : {"gnu", "pax", "ustar", "v7"}) {
    if (format == "v7" || format == "ustar") fs::remove_all(from.path() / "in"), fs::create_directories(from / "in/d"), put(from / "in/d/f", "deep");
    const auto command = "tar --format=" + format + " -C " + (from / "in").string() + " -cf " + (from / "out.tar").string() + " .";
    ASSERT_EQ(std::system(command.c_str()), 0);
    std::stringstream bytes;
    bytes << std::ifstream(from / "out.tar", std::ios::binary).rdbuf();
    fs::create_directory(to / format);
    auto done = unpack_layer_tar(source_of(bytes.str()), to / format);
    ASSERT_TRUE(done) << format << ": " << done.error().message;
    EXPECT_EQ(std::distance(fs::recursive_directory_iterator(to / format), fs::recursive_directory_iterator()), 2) << format;
  }
}

TEST(LayerTar, UnderstandsDeletionsBesideWhatReplacesThem) {
  TemporaryDirectory to;
  Archive archive;
  archive.add({.path = "before/.wh.x"}).add({.path = "before/x", .kind = Kind::Directory}).add({.path = "before/x/new"}, "1");
  archive.add({.path = "after/x", .kind = Kind::Directory}).add({.path = "after/x/new"}, "1").add({.path = "after/.wh.x"});
  archive.add({.path = "file/x"}, "1").add({.path = "file/.wh.x"}).add({.path = "all/.wh..wh..opq"}).add({.path = ".wh..wh.plnk", .kind = Kind::Directory});
  ASSERT_TRUE(unpack_layer_tar(source_of(archive.done()), to.path()));
  EXPECT_TRUE(is_opaque(to / "before/x") && fs::exists(to / "before/x/new"));
  EXPECT_TRUE(is_opaque(to / "after/x") && fs::exists(to / "after/x/new"));
  EXPECT_TRUE(fs::is_regular_file(to / "file/x"));
  EXPECT_TRUE(is_opaque(to / "all"));
}

TEST(LayerTar, LetsTheLastOfTwoEntriesWin) {
  TemporaryDirectory to;
  Archive archive;
  archive.add({.path = "a", .kind = Kind::Symlink, .link = "b"}).add({.path = "b", .kind = Kind::Directory}).add({.path = "a/through"}, "1");
  archive.add({.path = "a", .kind = Kind::Directory}).add({.path = "a/own"}, "2").add({.path = "b"}, "now a file");
  archive.add({.path = "c"}, "1").add({.path = "c", .mode = 0600}, "22");
  ASSERT_TRUE(unpack_layer_tar(source_of(archive.done()), to.path()));
  EXPECT_TRUE(fs::is_regular_file(to / "b"));
  EXPECT_TRUE(fs::exists(to / "a/own") && !fs::exists(to / "a/through"));
  EXPECT_EQ(fs::file_size(to / "c"), 2u);
}

TEST(LayerTar, NeverWritesOutsideOfTheDirectory) {
  const auto attempt = [](auto fill, bool accepted) {
    TemporaryDirectory outer;
    fs::create_directory(outer / "layer");
    put(outer / "victim", "untouched");
    fs::create_directory(outer / "outside");
    Archive archive;
    fill(archive, outer.path());
    auto done = unpack_layer_tar(source_of(archive.done()), outer / "layer");
    EXPECT_EQ(done.has_value(), accepted) << (done ? "" : done.error().message);
    EXPECT_EQ(std::distance(fs::recursive_directory_iterator(outer / "outside"), fs::recursive_directory_iterator()), 0);
    std::ifstream victim(outer / "victim");
    std::string text;
    std::getline(victim, text);
    EXPECT_EQ(text, "untouched");
    EXPECT_EQ(status_of(outer / "victim").st_nlink, 1u);
    EXPECT_EQ(std::distance(fs::directory_iterator(outer.path()), fs::directory_iterator()), 3);
  };
  attempt([](auto& a, auto&) { a.add({.path = "../victim"}, "x"); }, false);
  attempt([](auto& a, auto&) { a.add({.path = "a/../../victim"}, "x"); }, false);
  attempt([](auto& a, const auto& outer) { a.add({.path = (outer / "outside/f").string()}, "x"); }, true);  // lands below the layer
  attempt([](auto& a, auto&) { a.add({.path = "l", .kind = Kind::Symlink, .link = "../outside"}).add({.path = "l/f"}, "x"); }, false);
  attempt([](auto& a, const auto& outer) { a.add({.path = "l", .kind = Kind::Symlink, .link = (outer / "outside").string()}).add({.path = "l/f"}, "x"); }, false);
  attempt([](auto& a, const auto& outer) { a.add({.path = "l", .kind = Kind::Symlink, .link = (outer / "victim").string()}).add({.path = "l"}, "x"); }, true);
  attempt([](auto& a, auto&) { a.add({.path = "h", .kind = Kind::HardLink, .link = "../victim"}); }, false);
  attempt([](auto& a, const auto& outer) { a.add({.path = "h", .kind = Kind::HardLink, .link = (outer / "victim").string()}); }, false);
  attempt([](auto& a, const auto& outer) {
    a.add({.path = "s", .kind = Kind::Symlink, .link = outer.string()}).add({.path = "h", .kind = Kind::HardLink, .link = "s/victim"});
  }, false);
  attempt([](auto& a, const auto& outer) {
    a.add({.path = "s", .kind = Kind::Symlink, .link = (outer / "victim").string()}).add({.path = "h", .kind = Kind::HardLink, .link = "s"}).add({.path = "h"}, "x");
  }, true);
  attempt([](auto& a, const auto& outer) {
    a.add({.path = "s", .kind = Kind::Symlink, .link = outer.string()}).add({.path = "s/.wh.victim"});
  }, false);
  attempt([](auto& a, auto&) { a.add({.path = ".wh..."}); }, false);
  attempt([](auto& a, auto&) { a.add({.path = ".wh."}); }, false);
  attempt([](auto& a, auto&) { a.add({.path = "."}, "x"); }, false);
  attempt([](auto& a, auto&) { a.add({.path = ".wh.x/f"}, "x"); }, false);
}

TEST(LayerTar, IgnoresAttributesThatSpeakToTheOverlay) {
  TemporaryDirectory to;
  Archive archive;
  archive.add({.path = "d", .kind = Kind::Directory, .xattrs = {{"trusted.overlay.redirect", "/etc"}, {"trusted.overlay.opaque", "y"}, {"user.ok", "1"}}});
  ASSERT_TRUE(unpack_layer_tar(source_of(archive.done()), to.path()));
  EXPECT_EQ(read_xattrs_of_path((to / "d").string(), "d").value(), (Xattrs{{"user.ok", "1"}}));
}

TEST(LayerTar, RefusesWhatIsTooLargeSparseOrCutOff) {
  TemporaryDirectory to;
  Archive archive;
  archive.add({.path = "a"}, std::string(5000, 'x')).add({.path = "b"}, "y");
  const auto tar = archive.done();
  EXPECT_EQ(unpack_layer_tar(source_of(tar), to.path(), {.max_bytes = 5000}).error().code, Code::ResourceExhausted);
  EXPECT_EQ(unpack_layer_tar(source_of(tar), to.path(), {.max_entries = 1}).error().code, Code::ResourceExhausted);
  EXPECT_EQ(unpack_layer_tar(source_of(tar.substr(0, 3000)), to.path()).error().code, Code::Corrupt);
  put(to / "holes", "x");
  fs::resize_file(to / "holes", 1 << 20);
  for (std::string format : {"gnu", "pax"}) {
    ASSERT_EQ(std::system(("cd " + to.path().string() + " && tar --format=" + format + " -S -cf s.tar holes").c_str()), 0);
    std::stringstream bytes;
    bytes << std::ifstream(to / "s.tar", std::ios::binary).rdbuf();
    auto refused = unpack_layer_tar(source_of(bytes.str()), to.path());
    EXPECT_EQ(refused.error().code, Code::InvalidArgument);
    EXPECT_NE(refused.error().message.find("sparse"), std::string::npos);
  }
}

TEST(LayerTar, AnswersDamagedArchives) {
  TemporaryDirectory from, scratch;
  fs::create_directories(from / "d/e");
  put(from / "d/e" / std::string(140, 'x'), "text");
  fs::create_symlink("d", from / "l");
  fs::create_hard_link(from / "d/e" / std::string(140, 'x'), from / "h");
  const auto tar = tar_of(from.path());
  std::string gzip, zstd;
  for (auto [how, out] : {std::pair{codec::Compression::Gzip, &gzip}, {codec::Compression::Zstd, &zstd}}) {
    auto sink = codec::compress(how, [out](std::string_view bytes) -> Result<void> {
      *out += bytes;
      return {};
    });
    ASSERT_TRUE(sink(tar) && sink({}));
  }
  std::mt19937 random(3);
  for (int i = 0; i < 3000; ++i) {
    std::string text = i % 3 == 0 ? tar : i % 3 == 1 ? gzip : zstd;
    for (auto changes = 1 + random() % 3; changes > 0; --changes) text[random() % text.size()] = static_cast<char>(random());
    if (random() % 4 == 0) text.resize(random() % text.size());
    const auto target = scratch / "t";
    fs::create_directory(target);
    (void)unpack_layer_tar(codec::decompress(source_of(text)), target, {.max_bytes = 1 << 20});
    fs::remove_all(target);
    EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), fs::directory_iterator()), 0);
  }
}

TEST(Compression, CopesWithMembersInARowAndEarlyEnds) {
  for (auto how : {codec::Compression::Gzip, codec::Compression::Zstd}) {
    std::string bytes;
    for (std::string part : {"one,", "two"}) {
      auto sink = codec::compress(how, [&](std::string_view piece) -> Result<void> {
        bytes += piece;
        return {};
      });
      ASSERT_TRUE(sink(part) && sink({}));
    }
    const auto plain = [&](std::string input) -> Result<std::string> {
      auto source = codec::decompress(source_of(std::move(input), 3));
      std::string out;
      char buffer[5];
      while (true) {
        TRY(auto count, source(buffer));
        if (count == 0) return out;
        out.append(buffer, count);
      }
    };
    EXPECT_EQ(plain(bytes).value(), "one,two");
    EXPECT_EQ(plain(bytes.substr(0, bytes.size() - 3)).error().code, Code::Corrupt);
  }
}

}  // namespace watari::oci
