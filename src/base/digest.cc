#include "base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace watari {

namespace {
// EVP_sha256() would look it up again every time, which takes longer than hashing a small file.
const EVP_MD* sha256_method() {
  static const EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return method;
}
}  // namespace

Sha256 sha256(std::string_view bytes) {
  Sha256 out;
  EVP_Digest(bytes.data(), bytes.size(), out.data(), nullptr, sha256_method(), nullptr);
  return out;
}

Sha256 hmac_sha256(std::span<const std::uint8_t> key, std::string_view message) {
  Sha256 out;
  unsigned length = out.size();
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(message.data()),
       message.size(), out.data(), &length);
  return out;
}

std::string hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (auto byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  auto length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

bool base64_decode(std::string_view text, std::string& out) {
  if (text.size() % 4 != 0) return false;
  out.assign(text.size() / 4 * 3 + 1, '\0');
  auto length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (length < 0) return false;
  std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  out.resize(static_cast<std::size_t>(length) - padding);
  return true;
}

struct Sha256Stream::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Impl() { EVP_DigestInit_ex(context, sha256_method(), nullptr); }
  ~Impl() { EVP_MD_CTX_free(context); }
};

Sha256Stream::Sha256Stream() : impl_(std::make_unique<Impl>()) {}
Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;

void Sha256Stream::update(std::string_view bytes) { EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()); }

Sha256 Sha256Stream::finish() {
  Sha256 out;
  EVP_DigestFinal_ex(impl_->context, out.data(), nullptr);
  return out;
}

struct DigestStream::Impl {
  explicit Impl(bool large) : is_sha512(large) { EVP_DigestInit_ex(context, large ? EVP_sha512() : EVP_sha256(), nullptr); }
  ~Impl() { EVP_MD_CTX_free(context); }
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  bool is_sha512;
};

DigestStream::DigestStream(std::string_view like) : impl_(std::make_unique<Impl>(like.starts_with("sha512"))) {}
DigestStream::~DigestStream() = default;
DigestStream::DigestStream(DigestStream&&) noexcept = default;
DigestStream& DigestStream::operator=(DigestStream&&) noexcept = default;

void DigestStream::update(std::string_view bytes) { EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()); }
std::string_view DigestStream::algorithm() const { return impl_->is_sha512 ? "sha512" : "sha256"; }

std::string DigestStream::finish() {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> out;
  unsigned length = 0;
  EVP_DigestFinal_ex(impl_->context, out.data(), &length);
  return std::string(algorithm()) + ":" + hex(std::span(out).first(length));
}

std::string digest_of(std::string_view bytes, std::string_view like) {
  DigestStream stream(like);
  stream.update(bytes);
  return stream.finish();
}

}  // namespace watari
