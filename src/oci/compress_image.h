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

// Attaches to the manifest `to` what says the same of the image in any form: lists of its packages, and in-toto statements that are not signed,
// with `to` as one more subject. Signatures stay with the bytes that they sign. What is there already is not attached again.
Result<void> carry_documents(ImageStore& store, const std::string& repository, const std::string& from, const std::string& to_repository, const std::string& to);

}  // namespace watari::oci
