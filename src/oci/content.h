#pragma once
// The blobs: files named by their SHA-256 or SHA-512, as whoever brought them chose. Whoever opened the store owns it; thread-safe.
// A blob appears by rename after an fsync, so that what is there is whole; what a crash left is in tmp/, which open() empties.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/result.h"
#include "codec/stream.h"

namespace watari::oci {

// One blob on its way in. Destroyed before commit(), it leaves nothing behind. One thread at a time.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  virtual Result<void> write(std::string_view bytes) = 0;
  virtual std::int64_t size() const = 0;
  // Makes the blob durable and returns its digest. InvalidArgument when `expected` (may be empty) is another one.
  virtual Result<std::string> commit(std::string_view expected = {}) = 0;
};

class Content {
 public:
  virtual ~Content() = default;
  // `like` begins with the algorithm of the digest that is wanted (base/digest.h, DigestStream).
  virtual Result<std::unique_ptr<BlobWriter>> writer(std::string_view like = "sha256") = 0;
  // For small blobs; the digest is returned.
  virtual Result<std::string> put(std::string_view bytes, std::string_view like = "sha256") = 0;
  // Takes a finished file on the same file system over by rename. `digest` is what its bytes hash to (the caller has hashed them).
  virtual Result<void> adopt(const std::filesystem::path& file, const std::string& digest) = 0;

  // Also for layers that were made here and have no blob: size and bytes are those of their canonical tar. NotFound otherwise.
  virtual Result<std::int64_t> size(const std::string& digest) const = 0;
  // The size, and a new lease of life: pruning leaves alone for its grace period what was touched. For whoever is about to refer to it.
  virtual Result<std::int64_t> touch(const std::string& digest) = 0;
  // `length` < 0 means to the end. The sink may end the reading by an error, which is returned.
  virtual Result<void> read(const std::string& digest, std::int64_t offset, std::int64_t length, const codec::Sink& sink) const = 0;
  // Whole, for manifests and configs: at most 4 MiB, ResourceExhausted above.
  virtual Result<std::string> get(const std::string& digest) const = 0;
  // The file, when the blob is one (a layer that was made here is none).
  virtual std::optional<std::filesystem::path> file(const std::string& digest) const = 0;
};

}  // namespace watari::oci
