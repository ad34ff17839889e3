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

// Files f0 to f39 in d, and one called and holding `extra`.
Tar many(const std::string& changed, const std::string& extra, std::int64_t time = 1000) {
  Tar tar;
  tar.add({.path = "d", .kind = TarEntry::Kind::Directory, .mode = 0755, .mtime = time});
  for (int i = 0; i < 40; ++i) tar.file("d/f" + std::to_string(i), i == 7 ? changed : "same " + std::to_string(i));
  return std::move(tar.file("d/" + extra, extra));
}
std::vector<std::string> contents_of_many(const std::string& changed) {
  std::vector<std::string> contents{changed, "x"};
  for (int i = 0; i < 40; ++i)
    if (i != 7) contents.push_back("same " + std::to_string(i));
  return contents;
}

std::string sha256_of(Tar tar) {
  tar.end();
  return sha256_hex(*tar.bytes);
}

TEST_F(ContextsTest, ATreeThatNobodyUsesIsMadeOver) {
  auto first = make(many("old", "x", 1000), contents_of_many("old"));
  ASSERT_TRUE(contexts_->find(first));  // a build came and went
  auto kept = look(first, "d/f0").st_ino;
  ASSERT_TRUE(contexts_->find(sha256_of(many("old", "x", 1000))));  // again, without another upload
  auto second = make(many("new", "y", 2000), {"new", "y"});
  EXPECT_EQ(contexts_->find(first).error().code, Code::NotFound);
  EXPECT_EQ(look(second, "d/f0").st_ino, kept);
  EXPECT_EQ(text(second, "d/f7"), "new");
  EXPECT_EQ(text(second, "d/y"), "y");
  EXPECT_EQ(text(second, "d/x"), "(none)");
  EXPECT_EQ(look(second, "d").st_mtime, 2000);
  auto again = make(many("old", "x", 1000), {"old", "x"});
  EXPECT_EQ(again, first);
  EXPECT_EQ(text(again, "d/f7"), "old");
  EXPECT_EQ(look(again, "d/f0").st_ino, kept);
}

TEST_F(ContextsTest, ATreeStaysWhileABuildHasItOrAClientWasPromisedIt) {
  auto promised = make(many("1", "x"), contents_of_many("1"));
  auto second = make(many("2", "x"), {"2"});
  auto used = contexts_->find(second);
  ASSERT_TRUE(contexts_->promise(sha256_of(many("2", "x"))));
  auto third = make(many("3", "x"), {"3"});
  used = contexts_->find(second);  // the promise is kept, the build still runs
  auto fourth = make(many("4", "x"), {"4"});
  EXPECT_EQ(text(promised, "d/f7"), "1");
  EXPECT_EQ(sys::read_file(used->files / "d/f7").value_or(""), "2");
  EXPECT_EQ(text(third, "d/f7"), "3");
  EXPECT_EQ(text(fourth, "d/f7"), "4");
}

TEST_F(ContextsTest, ATreeOfOtherFilesOrOtherAttributesIsLeftAlone) {
  auto first = make(many("old", "x"), contents_of_many("old"));
  ASSERT_TRUE(contexts_->find(first));
  auto other = make(std::move(Tar().file("d/f0", "same 0")), {});
  EXPECT_TRUE(contexts_->find(first));
  EXPECT_TRUE(contexts_->find(other));
  Tar bare;  // says nothing of the directory
  for (int i = 0; i < 40; ++i) bare.file("d/f" + std::to_string(i), i == 7 ? "old" : "same " + std::to_string(i));
  ASSERT_NE(make(std::move(bare), {}), first);
  EXPECT_TRUE(contexts_->find(first));
}

TEST_F(ContextsTest, ContentThatIsInTheTreeAlreadyIsTakenFromThere) {
  auto first = make(many("old", "x"), contents_of_many("old"));
  ASSERT_TRUE(contexts_->find(first));
  auto second = make(many("x", "x"), {});
  EXPECT_FALSE(contexts_->find(first));
  EXPECT_EQ(text(second, "d/f7"), "x");
  EXPECT_NE(look(second, "d/f7").st_ino, look(second, "d/x").st_ino);
  Tar moved;  // what f7 held goes to another name: its only source would go away, so the tree is not made over
  moved.add({.path = "d", .kind = TarEntry::Kind::Directory, .mode = 0755, .mtime = 1000});
  for (int i = 1; i < 40; ++i) moved.file("d/f" + std::to_string(i), i == 7 ? "x" : "same " + std::to_string(i));
  auto third = make(std::move(moved.file("d/moved", "same 0").file("d/x", "x")), {});
  EXPECT_TRUE(contexts_->find(second));
  EXPECT_EQ(text(third, "d/moved"), "same 0");
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
