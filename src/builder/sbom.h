#pragma once
// What is in a base image: an SPDX document of its Debian packages, kept beside the image as an OCI referrer.
#include <string>
#include <string_view>

#include "oci/image_store.h"

namespace watari::builder {

inline constexpr std::string_view kSpdx = "application/spdx+json";

// From the text of /var/lib/dpkg/status; the same packages give the same document. `created` is RFC 3339.
// Source: https://spdx.github.io/spdx-spec/v2.3/, https://github.com/package-url/purl-spec (pkg:deb)
std::string spdx_of_dpkg(const std::string& image, std::string_view dpkg_status, const std::string& created);

// Stores the document as an artifact whose subject is the image; GET /v2/<repository>/referrers/<digest> lists it. Returns its digest.
Result<std::string> attach_sbom(oci::ImageStore& images, const std::string& repository, const std::string& image_digest, std::string_view document);

}  // namespace watari::builder
