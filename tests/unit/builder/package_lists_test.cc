// What the lists of package managers say.
#include "builder/package_lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace watari::builder {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> purls(ListKind kind, std::string_view text, std::string_view path = "") {
  std::vector<std::string> out;
  for (const auto& each : packages_in(kind, path, text)) out.push_back(each.purl());
  return out;
}

std::string be(std::uint32_t number) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(number >> shift & 0xff);
  return out;
}

TEST(PackageLists, ReadHeadersOfRpm) {
  const std::string data("tool\0" "1.0\0" "3.el9\0", 15);
  const auto entry = [](std::uint32_t tag, std::uint32_t offset) { return be(tag) + be(6) + be(offset) + be(1); };
  const auto header = be(3) + be(15) + entry(1000, 0) + entry(1001, 5) + entry(1002, 9) + data;
  const auto package = package_of_rpm_header(header);
  ASSERT_TRUE(package);
  EXPECT_EQ(package->purl(), "pkg:rpm/tool@1.0-3.el9");
  for (std::size_t length = 0; length < header.size() - 6; ++length) EXPECT_FALSE(package_of_rpm_header(header.substr(0, length))) << length;
  EXPECT_FALSE(package_of_rpm_header(be(0xffffffff) + be(0xffffffff) + header));
  EXPECT_FALSE(package_of_rpm_header(be(1) + be(15) + entry(1000, 0xffffffff) + data));
}

TEST(PackageLists, AreKnownByTheirPlaces) {
  EXPECT_EQ(list_kind("app/Gemfile.lock"), ListKind::GemfileLock);
  EXPECT_EQ(list_kind("usr/local/bundle/specifications/rails-7.1.2.gemspec"), ListKind::Gemspec);
  EXPECT_EQ(list_kind("usr/lib/ruby/gems/3.1.0/specifications/default/json-2.6.1.gemspec"), ListKind::Gemspec);
  EXPECT_EQ(list_kind("app/package-lock.json"), ListKind::NpmLock);
  EXPECT_EQ(list_kind("usr/lib/python3/dist-packages/flask-3.0.0.dist-info/METADATA"), ListKind::PythonMetadata);
  EXPECT_EQ(list_kind("lib/apk/db/installed"), ListKind::Apk);
  EXPECT_EQ(list_kind("usr/lib/sysimage/rpm/rpmdb.sqlite"), ListKind::Rpm);
  EXPECT_EQ(list_kind("server"), ListKind::GoProgram);
  EXPECT_EQ(list_kind("usr/local/bin/server"), ListKind::GoProgram);
  for (const char* path : {"usr/local/bundle/gems/foo-1.0/Gemfile.lock", "usr/lib/python3/dist-packages/x/requirements.txt", "app/lib/server", "app/foo.gemspec"})
    EXPECT_EQ(list_kind(path), ListKind::None) << path;
}

TEST(PackageLists, BundlersLockFileNamesWhatIsChosenAndNotWhatIsAskedFor) {
  EXPECT_THAT(purls(ListKind::GemfileLock, "GIT\n  remote: https://example.com/a.git\n  specs:\n    a (0.1)\n\nGEM\n  remote: https://rubygems.org/\n  specs:\n"
                                           "    nokogiri (1.16.0-x86_64-linux)\n      racc (~> 1.4)\n    sidekiq (7.2.0)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n    no (1.0)\n"),
              ElementsAre("pkg:gem/a@0.1", "pkg:gem/nokogiri@1.16.0?platform=x86_64-linux", "pkg:gem/sidekiq@7.2.0"));
}

TEST(PackageLists, AGemSpecificationsNameSaysItAll) {
  EXPECT_THAT(purls(ListKind::Gemspec, "", "specifications/net-http-persistent-4.0.2.gemspec"), ElementsAre("pkg:gem/net-http-persistent@4.0.2"));
  EXPECT_THAT(purls(ListKind::Gemspec, "", "specifications/nokogiri-1.16.0-x86_64-linux.gemspec"), ElementsAre("pkg:gem/nokogiri@1.16.0?platform=x86_64-linux"));
  EXPECT_THAT(purls(ListKind::Gemspec, "", "specifications/noversion.gemspec"), IsEmpty());
}

TEST(PackageLists, LockFilesOfNpmAndYarn) {
  EXPECT_THAT(purls(ListKind::NpmLock, R"({"lockfileVersion":3,"packages":{"":{"version":"9"},"node_modules/@a/b":{"version":"1.0.0"},"node_modules/c/node_modules/d":{"version":"2.0.0"}}})"),
              ElementsAre("pkg:npm/%40a/b@1.0.0", "pkg:npm/d@2.0.0"));
  EXPECT_THAT(purls(ListKind::NpmLock, R"({"dependencies":{"c":{"version":"1.1.0","dependencies":{"d":{"version":"2.0.0"}}}}})"), ElementsAre("pkg:npm/c@1.1.0", "pkg:npm/d@2.0.0"));
  EXPECT_THAT(purls(ListKind::NpmLock, "[1, 2"), IsEmpty());
  EXPECT_THAT(purls(ListKind::NpmLock, R"({"packages":{"node_modules/x":7},"dependencies":3})"), IsEmpty());
  EXPECT_THAT(purls(ListKind::YarnLock, "# yarn lockfile v1\n\n\"@babel/core@^7.0.0\", \"@babel/core@^7.1.0\":\n  version \"7.23.2\"\n  dependencies:\n    left-pad \"^1.0\"\n\nleft-pad@^1.0:\n  version \"1.3.0\"\n"),
              ElementsAre("pkg:npm/%40babel/core@7.23.2", "pkg:npm/left-pad@1.3.0"));
}

TEST(PackageLists, PythonAlpineAndGo) {
  EXPECT_THAT(purls(ListKind::PythonMetadata, "Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6.3\n\nVersion: of the text\n"), ElementsAre("pkg:pypi/flask-login@0.6.3"));
  EXPECT_THAT(purls(ListKind::PythonRequirements, "# x==1\nflask[async]==3.0.0 ; python_version > '3'\nrequests>=2\n-r more.txt\nDjango == 4.*\nsix==1.16.0\n"),
              ElementsAre("pkg:pypi/flask@3.0.0", "pkg:pypi/six@1.16.0"));
  EXPECT_THAT(purls(ListKind::Apk, "P:musl\nV:1.2.4-r2\nA:x86_64\n\nP:busybox\nV:1.36.1-r5\nA:x86_64\n"),
              ElementsAre("pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64", "pkg:apk/alpine/busybox@1.36.1-r5?arch=x86_64"));
  std::vector<std::string> go;
  for (const auto& each : packages_of_go_program("path\texample.com/web\nmod\texample.com/web\t(devel)\t\ndep\tgolang.org/x/net\tv0.1.0\th1:x=\ndep\told.com/y\tv1.0.0\n=>\tnew.com/y\tv1.2.0\th1:y=\n"))
    go.push_back(each.purl());
  EXPECT_THAT(go, ElementsAre("pkg:golang/golang.org/x/net@v0.1.0", "pkg:golang/new.com/y@v1.2.0"));
}

}  // namespace
}  // namespace watari::builder
