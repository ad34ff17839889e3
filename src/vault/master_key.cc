#include "vault/master_key.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>

#include "base/digest.h"
#include "base/strings.h"

namespace watari::vault {
namespace {

constexpr std::string_view kMagic = "WAV1";
constexpr std::size_t kNonce = 12, kTag = 16, kKey = 32;
constexpr std::size_t kWrapped = kNonce + kKey + kTag;
constexpr std::size_t kSmallest = kMagic.size() + kWrapped + kNonce + kTag;

using Key = MasterKey::Bytes;
using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
int length(std::string_view text) { return static_cast<int>(text.size()); }

// nonce + ciphertext + tag
Result<std::string> encrypt(const Key& key, std::string_view plain, std::string_view aad) {
  std::string out(kNonce + plain.size() + kTag, '\0');
  Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int written = 0;
  bool done = context && RAND_bytes(bytes(out), kNonce) == 1 &&
              EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), bytes(out)) == 1 &&
              EVP_EncryptUpdate(context.get(), nullptr, &written, bytes(aad), length(aad)) == 1 &&
              EVP_EncryptUpdate(context.get(), bytes(out) + kNonce, &written, bytes(plain), length(plain)) == 1 &&
              EVP_EncryptFinal_ex(context.get(), bytes(out) + kNonce + plain.size(), &written) == 1 &&
              EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTag, bytes(out) + kNonce + plain.size()) == 1;
  if (!done) return fail(Code::Internal, "encryption failed (OpenSSL)");
  return out;
}

Result<std::string> decrypt(const Key& key, std::string_view sealed, std::string_view aad) {
  auto cipher = sealed.substr(kNonce, sealed.size() - kNonce - kTag);
  std::string tag(sealed.substr(sealed.size() - kTag)), out(cipher.size(), '\0');
  Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int written = 0;
  unsigned char none[kTag];
  bool done = context && EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), bytes(sealed)) == 1 &&
              EVP_DecryptUpdate(context.get(), nullptr, &written, bytes(aad), length(aad)) == 1 &&
              EVP_DecryptUpdate(context.get(), bytes(out), &written, bytes(cipher), length(cipher)) == 1 &&
              EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTag, tag.data()) == 1 &&
              EVP_DecryptFinal_ex(context.get(), none, &written) == 1;
  if (!done) return fail(Code::Corrupt, "a sealed value does not open: it was changed, or sealed under another master key");
  return out;
}

Result<void> write_new(const std::string& path, const std::string& text) {
  auto temporary = path + ".new";
  int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return fail(Code::Unavailable, "cannot write {}: {}", temporary, std::strerror(errno));
  bool written = ::fchmod(fd, 0600) == 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  ::close(fd);
  if (!written || ::rename(temporary.c_str(), path.c_str()) != 0)
    return fail(Code::Unavailable, "cannot write {}: {}", path, std::strerror(errno));
  if (int folder = ::open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); folder >= 0) {
    ::fsync(folder);  // before anything is sealed under it
    ::close(folder);
  }
  return {};
}

Result<MasterKey> create(const std::string& path) {
  Key key;
  if (RAND_bytes(key.data(), kKey) != 1) return fail(Code::Internal, "no random bytes for {} (OpenSSL)", path);
  TRY_VOID(write_new(path, hex(key) + "\n"));
  return MasterKey(key);
}

Result<MasterKey> parse(const std::string& path, std::string_view text) {
  text = trim(text);
  Key key;
  for (std::size_t i = 0; i < kKey; ++i) {
    unsigned value = 0;
    auto pair = text.size() == 2 * kKey ? text.substr(2 * i, 2) : std::string_view{};
    auto [end, wrong] = std::from_chars(pair.data(), pair.data() + pair.size(), value, 16);
    if (pair.empty() || wrong != std::errc{} || end != pair.data() + 2)
      return fail(Code::Corrupt, "{} is not a master key (64 hexadecimal digits); restore it from a backup", path);
    key[i] = static_cast<std::uint8_t>(value);
  }
  return MasterKey(key);
}

}  // namespace

Result<MasterKey> MasterKey::open(const std::string& path, bool may_create) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno == ENOENT) {
    if (may_create) return create(path);
    return fail(Code::FailedPrecondition, "{} is missing, and parameters are sealed under it; restore it from a backup", path);
  }
  if (fd < 0) return fail(Code::PermissionDenied, "cannot read {}: {}", path, std::strerror(errno));
  struct stat status{};
  char text[128];
  auto got = ::fstat(fd, &status) == 0 ? ::read(fd, text, sizeof text) : -1;
  ::close(fd);
  if (got < 0) return fail(Code::PermissionDenied, "cannot read {}", path);
  if (status.st_mode & 077) return fail(Code::PermissionDenied, "{} can be read by others; chmod 600 it", path);
  return parse(path, std::string_view(text, static_cast<std::size_t>(got)));
}

Result<std::string> MasterKey::seal(std::string_view plaintext, std::string_view context) const {
  Key data_key;
  if (RAND_bytes(data_key.data(), kKey) != 1) return fail(Code::Internal, "no random bytes (OpenSSL)");
  TRY(auto wrapped, encrypt(key_, std::string_view(reinterpret_cast<const char*>(data_key.data()), kKey), context));
  auto value = encrypt(data_key, plaintext, context);
  OPENSSL_cleanse(data_key.data(), kKey);
  if (!value) return value;
  return base64(std::string(kMagic) + wrapped + *value);
}

Result<std::string> MasterKey::unseal(std::string_view sealed, std::string_view context) const {
  std::string raw;
  if (!base64_decode(sealed, raw) || raw.size() < kSmallest || !raw.starts_with(kMagic))
    return fail(Code::Corrupt, "a sealed value is damaged");
  auto rest = std::string_view(raw).substr(kMagic.size());
  TRY(auto unwrapped, decrypt(key_, rest.substr(0, kWrapped), context));
  Key data_key;
  std::memcpy(data_key.data(), unwrapped.data(), kKey);
  OPENSSL_cleanse(unwrapped.data(), unwrapped.size());
  auto value = decrypt(data_key, rest.substr(kWrapped), context);
  OPENSSL_cleanse(data_key.data(), kKey);
  return value;
}

}  // namespace watari::vault
