// Contexts that come as an index and the content that is missing.
#include "builder/contexts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>

#include "base/digest.h"
#include "codec/tar.h"
#include "tests/support/temporary_directory.h"
#include "sys/files.h"

namespace watari::builder {
namespace {

namespace fs = std::filesystem;
using codec::TarEntry;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

codec::Source source_of(std::string text) {
  return [text = std::move(text), at = std::size_t{0}](std::span<char> into) mutable -> Result<std::size_t> {
    auto count = std::min(into.size(), text.size() - at);
    std::copy_n(text.data() + at, count, into.data());
    at += count;
    return count;
  };
}

struct Tar {
  std::shared_ptr<std::string> bytes = std::make_shared<std::string>();
  codec::TarWriter writer{[to = bytes](std::string_view piece) -> Result<void> { *to += piece; return {}; }};
  Tar& add(TarEntry entry, const std::string& data = "") {
    entry.size = static_cast<std::int64_t>(data.size());
    EXPECT_TRUE(writer.entry(entry));
    EXPECT_TRUE(writer.data(data));
    return *this;
  }
  Tar& file(const std::string& path, const std::string& content, std::int64_t mtime = 1000) { return add({.path = path, .mtime = mtime}, sha256_hex(content)); }
  codec::Source end() {
    EXPECT_TRUE(writer.finish());
    return source_of(*bytes);
  }
};

codec::Source content_of(const std::vector<std::string>& contents) {
  Tar tar;
  for (const auto& each : contents) tar.add({.path = sha256_hex(each)}, each);
  return tar.end();
}

class ContextsTest : public testing::Test {
 protected:
  struct stat look(const std::string& id, const std::string& path) {
    struct stat info{};
    EXPECT_EQ(::lstat((contexts_->find(id)->files / path).c_str(), &info), 0) << path;
    return info;
  }
  std::string text(const std::string& id, const std::string& path) { return sys::read_file(contexts_->find(id)->files / path).value_or("(none)"); }
  std::string make(Tar tar, const std::vector<std::string>& contents) {
    auto offer = contexts_->offer(tar.end());
    EXPECT_TRUE(offer) << offer.error().message;
    if (!offer->missing.empty()) offer = contexts_->supply(offer->id, content_of(contents));
    EXPECT_TRUE(offer) << offer.error().message;
    EXPECT_THAT(offer->missing, IsEmpty());
    return offer->id;
  }

  tests::TemporaryDirectory directory_;
  std::unique_ptr<Contexts> contexts_ = std::move(*Contexts::open(directory_.path()));
};

TEST_F(ContextsTest, AskOnlyForContentThatIsNotHereAndShareTheOtherFiles) {
  auto first = make(std::move(Tar().file("a", "one").file("d/b", "two")), {"one", "two"});
  auto offer = contexts_->offer(Tar().file("a", "changed").file("d/b", "two").end());
  ASSERT_TRUE(offer);
  EXPECT_THAT(offer->missing, ElementsAre(sha256_hex("changed")));
  EXPECT_FALSE(contexts_->find(offer->id));
  offer = contexts_->supply(offer->id, content_of({"changed"}));
  ASSERT_TRUE(offer) << offer.error().message;
  EXPECT_EQ(text(offer->id, "a"), "changed");
  EXPECT_EQ(text(first, "a"), "one");
  EXPECT_EQ(look(offer->id, "d/b").st_ino, look(first, "d/b").st_ino);
  EXPECT_EQ(look(offer->id, "d/b").st_mtime, 1000);
}

TEST_F(ContextsTest, KeepFilesApartThatAreTheSameByChance) {
  auto first = make(std::move(Tar().file("a", "same").file("b", "same")), {"same"});
  auto second = make(std::move(Tar().file("a", "same").file("b", "same").file("c", "same")), {});
  for (const auto& id : {first, second}) EXPECT_NE(look(id, "a").st_ino, look(id, "b").st_ino);
  EXPECT_NE(look(second, "c").st_ino, look(second, "a").st_ino);
  EXPECT_EQ(text(second, "c"), "same");
}

TEST_F(ContextsTest, GiveAFileOfAnotherTimeOrModeItsOwnInode) {
  auto first = make(std::move(Tar().file("a", "one")), {"one"});
  auto later = make(std::move(Tar().file("a", "one", 2000)), {});
  EXPECT_EQ(look(first, "a").st_mtime, 1000);
  EXPECT_EQ(look(later, "a").st_mtime, 2000);
  auto executable = make(std::move(Tar().add({.path = "a", .mode = 0755, .mtime = 1000}, sha256_hex("one"))), {});
  EXPECT_EQ(look(first, "a").st_mode & 07777, 0644U);
  EXPECT_EQ(look(executable, "a").st_mode & 07777, 0755U);
}

TEST_F(ContextsTest, KeepLinksAndDescribeWhatIsThere) {
  auto id = make(std::move(Tar().file("d/a", "one").add({.path = "d/b", .kind = TarEntry::Kind::HardLink, .link = "d/a"})
                               .add({.path = "l", .kind = TarEntry::Kind::Symlink, .link = "d/a"})), {"one"});
  EXPECT_EQ(look(id, "d/a").st_ino, look(id, "d/b").st_ino);
  std::vector<std::string> lines;
  contexts_->find(id)->index->below("", [&](const std::string& path, const auto& entry) { lines.push_back(path + " " + entry.mode + entry.content); });
  auto digest = sha256_hex("one");
  EXPECT_THAT(lines, ElementsAre("d 040755", "d/a 100644 " + digest, "d/b 100644 " + digest, "l 120777 -> d/a"));
}

TEST_F(ContextsTest, AreStillThereAfterARestart) {
  auto first = make(std::move(Tar().file("a", "one").file("b", "two")), {"one", "two"});
  auto inode = look(first, "b").st_ino;
  fs::create_directory(directory_.path() / ".tmp-left");
  contexts_ = std::move(*Contexts::open(directory_.path()));
  EXPECT_FALSE(fs::exists(directory_.path() / ".tmp-left"));
  auto offer = contexts_->offer(Tar().file("a", "new").file("b", "two").end());
  ASSERT_TRUE(offer);
  EXPECT_THAT(offer->missing, ElementsAre(sha256_hex("new")));
  ASSERT_TRUE(contexts_->supply(offer->id, content_of({"new"})));
  EXPECT_EQ(look(offer->id, "b").st_ino, inode);
}

TEST_F(ContextsTest, RefuseContentThatIsNotWhatItsNameSays) {
  auto offer = contexts_->offer(Tar().file("a", "one").end());
  Tar lies;
  lies.add({.path = sha256_hex("one")}, "other");
  auto supplied = contexts_->supply(offer->id, lies.end());
  ASSERT_FALSE(supplied);
  EXPECT_THAT(supplied.error().message, HasSubstr("changed while"));
  EXPECT_FALSE(contexts_->supply(offer->id, content_of({"not asked for"})));
  EXPECT_EQ(contexts_->supply(std::string(32, '0'), content_of({})).error().code, Code::NotFound);
  EXPECT_FALSE(contexts_->find(offer->id));
}

TEST_F(ContextsTest, RefuseIndexesThatNoClientMakes) {
  auto refused = [&](Tar tar) { return !contexts_->offer(tar.end()); };
  EXPECT_TRUE(refused(std::move(Tar().file("../a", "x"))));
  EXPECT_TRUE(refused(std::move(Tar().file("/a", "x"))));
  EXPECT_TRUE(refused(std::move(Tar().file("a", "x").file("a", "y"))));
  EXPECT_TRUE(refused(std::move(Tar().file("a", "x").file("a/b", "y"))));
  EXPECT_TRUE(refused(std::move(Tar().file(".wh.a", "x"))));
  EXPECT_TRUE(refused(std::move(Tar().add({.path = "a"}, "no digest"))));
  EXPECT_TRUE(refused(std::move(Tar().add({.path = "a", .kind = TarEntry::Kind::CharDevice}))));
  EXPECT_TRUE(refused(std::move(Tar().add({.path = "a", .kind = TarEntry::Kind::HardLink, .link = "b"}))));
}

}  // namespace
}  // namespace watari::builder
