#pragma once
// A layer as a directory in overlay format (deleted names are 0:0 character devices, opaque directories carry the attribute
// trusted.overlay.opaque=y) and as an OCI layer tar (".wh.name", ".wh..wh..opq"), either made from the other.
// Source: https://github.com/opencontainers/image-spec/blob/main/layer.md, https://docs.kernel.org/filesystems/overlayfs.html
//
// The tar is canonical: depth first, names sorted by their bytes, numeric owners, whole-second mtimes, hard links to the first name, no entry for
// the root. The same directory always gives the same bytes, which is what makes a layer's digest without keeping its tar.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "codec/stream.h"
#include "codec/tar.h"

namespace watari::oci {

struct LayerSummary {
  std::string diff_id;    // sha256:…
  std::int64_t size = 0;  // of the tar
};

// Left out: sockets, security.selinux and the overlay's own attributes. FailedPrecondition when the directory uses overlay features that
// a tar cannot express (redirects, metacopy) or has a name that begins with ".wh.".
Result<void> write_layer_tar(const std::filesystem::path& directory, const codec::Sink& sink);
// `also` gets the bytes of the tar.
Result<LayerSummary> summarize_layer(const std::filesystem::path& directory, const codec::Sink& also = {});

struct UnpackLimits {
  std::int64_t max_bytes = std::int64_t{64} << 30;
  std::int64_t max_entries = 4'000'000;
};

// Unpacks a plain tar into an existing empty directory. Never touches anything outside of it: ".." is refused, links are followed as if the
// directory were the root. InvalidArgument or Corrupt for archives that cannot be taken; the caller removes the directory then.
Result<void> unpack_layer_tar(const codec::Source& tar, const std::filesystem::path& directory, const UnpackLimits& limits = {});

// Where the bytes of a file are that a tar only names.
struct FoundFile {
  // Link: the file itself, whose owner, mode, times and attributes are the entry's already. Stay: it is in its place, as it should be.
  enum class How { Link, Move, Copy, Stay };
  std::filesystem::path path;
  How how = How::Copy;
};
// `content` is what the archive holds in place of the file's bytes.
using FindFile = std::function<Result<FoundFile>(const codec::TarEntry& entry, const std::string& content)>;
// The same for an archive that holds, for every regular file, at most 128 bytes that name its content. The directory may hold files that
// stay; what else is there under a name of the archive is replaced.
Result<void> unpack_index_tar(const codec::Source& tar, const std::filesystem::path& directory, const FindFile& find, const UnpackLimits& limits = {});

}  // namespace watari::oci
