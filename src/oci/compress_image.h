#pragma once
// An image once more, with compressed layers: for registries and clients that want them so in the manifest. It has a digest of its own.
#include <functional>
#include <string>

#include "codec/compress.h"
#include "oci/image_store.h"

namespace watari::oci {

// Annotation of such a manifest: the digest of the image whose layers are plain.
inline constexpr const char* kCompressedFrom = "watari.compressed-from";

// Links the compressed image into the repository, without a tag, and returns its digest; what is compressed already stays as it is, and an image without plain
// layers is its own answer. Made once, and found again as long as it is here (pruning takes it when it has no tag). `on_bytes` gets the
// number of plain bytes that were read, and ends it by false (Cancelled). FailedPrecondition for an index, and for what a format cannot say.
Result<std::string> compress_image(ImageStore& store, const std::string& repository, const std::string& digest, codec::Compression how,
                                   const std::function<bool(std::int64_t)>& on_bytes = {});

}  // namespace watari::oci
