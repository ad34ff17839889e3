// The SPDX document of a base image.
#include "builder/sbom.h"

#include <gtest/gtest.h>

#include "codec/json.h"
#include "tests/support/temporary_directory.h"

namespace watari::builder {
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
  auto sbom = attach_sbom(images, "debian", image->digest, "{\"a\":1}");
  ASSERT_TRUE(sbom) << sbom.error().message;
  auto manifest = codec::parse_json(*images.content().get(*sbom));
  ASSERT_TRUE(manifest);
  EXPECT_EQ((*manifest)["subject"]["digest"].as_string(), image->digest);
  EXPECT_EQ((*manifest)["artifactType"].as_string(), kSpdx);
  EXPECT_EQ(*images.content().get((*manifest)["layers"].as_array()[0]["digest"].as_string()), "{\"a\":1}");
}

}  // namespace
}  // namespace watari::builder
