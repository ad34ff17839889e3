#pragma once
// SHA-256, HMAC and the encodings around them. The only place that hashes.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace watari {

using Sha256 = std::array<std::uint8_t, 32>;

Sha256 sha256(std::string_view bytes);
Sha256 hmac_sha256(std::span<const std::uint8_t> key, std::string_view message);

std::string hex(std::span<const std::uint8_t> bytes);
inline std::string sha256_hex(std::string_view bytes) { return hex(sha256(bytes)); }
std::string base64(std::string_view bytes);
// Empty optional semantics are avoided: returns false and leaves `out` unspecified when `text` is not base64.
bool base64_decode(std::string_view text, std::string& out);

// For data that does not fit in memory: update() any number of times, then finish() once.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;
  void update(std::string_view bytes);
  Sha256 finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A digest as images write it, of data that does not fit in memory. `like` begins with the algorithm ("sha512", "sha512:…"); all that does not
// begin with sha512 means sha256.
class DigestStream {
 public:
  explicit DigestStream(std::string_view like = "sha256");
  ~DigestStream();
  DigestStream(DigestStream&&) noexcept;
  DigestStream& operator=(DigestStream&&) noexcept;
  void update(std::string_view bytes);
  std::string finish();  // "sha256:<hex>", "sha512:<hex>"
  std::string_view algorithm() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};
std::string digest_of(std::string_view bytes, std::string_view like = "sha256");

}  // namespace watari
