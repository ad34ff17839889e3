// The SPDX document of a base image.
#include "builder/sbom.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "codec/json.h"
#include "tests/support/temporary_directory.h"

namespace watari::builder {

namespace fs = std::filesystem;

namespace {

constexpr const char* kStatus = R"(Package: zlib1g
Status: install ok installed
Maintainer: Mark Brown <broonie@debian.org>
Architecture: amd64
Source: zlib
Version: 1:1.2.13.dfsg-1
Description: compression library
 with more lines: that look like fields

Package: gone
Status: deinstall ok config-files
Version: 1

Package: libstdc++6
Status: install ok installed
Architecture: amd64
Version: 12.2.0-14
)";

TEST(Sbom, NamesPackagesByTheDistributionTheyAreOf) {
  const auto text = spdx_of_dpkg("web:1", kStatus, "2023-06-10T00:00:00Z", nullptr, {{"rpm", "tool", "1-2", "arch=noarch&epoch=1"}}, {}, {"ubuntu", "24.04"});
  EXPECT_THAT(text, testing::HasSubstr("pkg:deb/ubuntu/"));
  EXPECT_THAT(text, testing::HasSubstr("pkg:rpm/ubuntu/tool@1-2?arch=noarch&distro=ubuntu-24.04&epoch=1"));
}

TEST(Sbom, ListsWhatIsInstalledInOrder) {
  const auto document = codec::parse_json(spdx_of_dpkg("debian:bookworm", kStatus, "2023-06-10T00:00:00Z"));
  ASSERT_TRUE(document);
  const auto& packages = (*document)["packages"].as_array();
  ASSERT_EQ(packages.size(), 2u);
  EXPECT_EQ(packages[0]["name"].as_string(), "libstdc++6");
  EXPECT_EQ(packages[0]["SPDXID"].as_string(), "SPDXRef-Package-libstdc-2b--2b-6");
  EXPECT_EQ(packages[1]["versionInfo"].as_string(), "1:1.2.13.dfsg-1");
  EXPECT_EQ(packages[1]["sourceInfo"].as_string(), "built from the source package zlib");
  EXPECT_EQ(packages[1]["externalRefs"].as_array()[0]["referenceLocator"].as_string(), "pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1?arch=amd64");
  EXPECT_EQ(spdx_of_dpkg("debian:bookworm", kStatus, "2023-06-10T00:00:00Z"), document->dump());
}

TEST(Sbom, IsAReferrerOfItsImage) {
  tests::TemporaryDirectory directory;
  auto opened = oci::ImageStore::open(directory.path());
  ASSERT_TRUE(opened);
  auto& images = **opened;
  auto image = images.add_image({});
  ASSERT_TRUE(image) << image.error().message;
  auto sbom = images.attach("debian", image->digest, {{std::string(kSpdx), "{\"a\":1}", {}}});
  ASSERT_TRUE(sbom) << sbom.error().message;
  auto manifest = codec::parse_json(*images.content().get(sbom->front()));
  ASSERT_TRUE(manifest);
  EXPECT_EQ((*manifest)["subject"]["digest"].as_string(), image->digest);
  EXPECT_EQ((*manifest)["artifactType"].as_string(), kSpdx);
  EXPECT_EQ(*images.content().get((*manifest)["layers"].as_array()[0]["digest"].as_string()), "{\"a\":1}");
}

// A layer of the given files; an empty text makes a whiteout.
oci::Layer layer_of(oci::ImageStore& images, const std::map<std::string, std::string>& files, const std::string& opaque = {}) {
  auto directory = images.scratch_directory().value();
  for (const auto& [name, text] : files) {
    fs::create_directories((directory / name).parent_path());
    if (text.empty()) EXPECT_EQ(::mknod((directory / name).c_str(), S_IFCHR, 0), 0);
    else std::ofstream(directory / name) << text;
  }
  if (!opaque.empty()) EXPECT_EQ(::setxattr((directory / opaque).c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  return images.add_layer(directory).value();
}

TEST(Sbom, SeesThePackagesThatAContainerWouldSee) {
  if (::geteuid() != 0) GTEST_SKIP() << "whiteouts need root";
  tests::TemporaryDirectory directory;
  auto images = oci::ImageStore::open(directory.path()).value();
  const std::string status = "var/lib/dpkg/status";
  const auto first = layer_of(*images, {{status, "first"}}), second = layer_of(*images, {{status, "second"}}), other = layer_of(*images, {{"var/lib/other", "x"}});
  const auto without = layer_of(*images, {{status, ""}}), no_var = layer_of(*images, {{"var", ""}});
  const auto covered = layer_of(*images, {{"var/lib/more", "x"}}, "var/lib");
  const auto seen = [&](std::vector<oci::Layer> layers) {
    oci::Image image;
    image.layers = std::move(layers);
    auto text = dpkg_status_of(*images, image);
    EXPECT_TRUE(text) << text.error().message;
    return text->value_or("none");
  };
  EXPECT_EQ(seen({first, other}), "first");
  EXPECT_EQ(seen({first, second, other}), "second");
  EXPECT_EQ(seen({first, without, other}), "none");
  EXPECT_EQ(seen({first, no_var}), "none");
  EXPECT_EQ(seen({first, covered}), "none");
  EXPECT_EQ(seen({first, covered, second}), "second");
  EXPECT_EQ(seen({other}), "none");
  EXPECT_EQ(seen({}), "none");
}

TEST(Sbom, ADocumentWithoutPackagesSaysSo) {
  const auto document = codec::parse_json(spdx_of_dpkg("tiny:1", "", "2023-06-10T00:00:00Z"));
  ASSERT_TRUE(document);
  EXPECT_TRUE((*document)["packages"].as_array().empty());
  EXPECT_TRUE((*document)["comment"].as_string().starts_with("No packages"));
}

}  // namespace
}  // namespace watari::builder
