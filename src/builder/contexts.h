#pragma once
// Build contexts as clients uploaded them: DIR/<id>/, named by the digest of their archive. Thread-safe.
#include <filesystem>
#include <string>

#include "base/result.h"
#include "codec/stream.h"

namespace watari::builder {

class Contexts {
 public:
  // Removes what a crash left half-unpacked.
  static Result<Contexts> open(std::filesystem::path directory);

  // Unpacks a tar (plain, gzip or zstd) and returns its id. Removes contexts that nobody has used for an hour.
  Result<std::string> add(const codec::Source& archive);
  // The id that a tar with this SHA-256 has.
  static std::string id_of(const std::string& sha256) { return sha256.substr(0, 32); }
  // NotFound: the client has to upload it again.
  Result<std::filesystem::path> find(const std::string& id) const;

 private:
  explicit Contexts(std::filesystem::path directory) : directory_(std::move(directory)) {}
  void sweep() const;
  std::filesystem::path directory_;
};

}  // namespace watari::builder
