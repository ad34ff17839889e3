#pragma once
// Extended attributes of one file; for this room only.
#include <functional>
#include <map>
#include <string>

#include "base/result.h"

namespace watari::oci {

inline constexpr const char* kOverlayOpaque = "trusted.overlay.opaque";

using Xattrs = std::map<std::string, std::string>;

// Of an open file, or of a path without following a last link. Empty where the file system has none.
Result<Xattrs> read_xattrs(int fd, const std::string& shown_as);
Result<Xattrs> read_xattrs_of_path(const std::string& path, const std::string& shown_as);

}  // namespace watari::oci
