#pragma once
// What is in an image: an SPDX document of its packages, kept beside the image as an OCI referrer (ImageStore::attach).
#include <optional>
#include <string>
#include <string_view>

#include "builder/package_lists.h"
#include "oci/image_store.h"

namespace watari::builder {

inline constexpr std::string_view kSpdx = "application/spdx+json";

struct BaseExtras;

// ID and VERSION_ID of the image's os-release; empty where there is none, or no such line. Blocking.
// Source: https://www.freedesktop.org/software/systemd/man/latest/os-release.html
struct Distribution {
  std::string id, version;
};
Result<Distribution> distribution_of(oci::ImageStore& images, const oci::Image& image);

// From the text of /var/lib/dpkg/status; the same packages give the same document. A document without packages says so. `extras`: what a base has besides them. `others`: packages that
// other programs installed. `unread`: lists that are there and are not read, which the document says. `distribution` (Debian where it is empty) is part of the
// names of dpkg's and rpm's packages. `created` is RFC 3339.
// Source: https://spdx.github.io/spdx-spec/v2.3/, https://github.com/package-url/purl-spec (pkg:deb)
std::string spdx_of_dpkg(const std::string& image, std::string_view dpkg_status, const std::string& created, const BaseExtras* extras = nullptr,
                         const std::vector<Package>& others = {}, const std::vector<std::string>& unread = {}, const Distribution& distribution = {});

// The text of /var/lib/dpkg/status as a container of the image would see it; nothing when there is none. Blocking.
Result<std::optional<std::string>> dpkg_status_of(oci::ImageStore& images, const oci::Image& image);

// The paths of rpm's databases in the image that have a form of before SQLite: what they list is not known here. Blocking.
Result<std::vector<std::string>> rpm_databases_of(oci::ImageStore& images, const oci::Image& image);

}  // namespace watari::builder
