#include "net/authority.h"

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "base/strings.h"
#include "sys/files.h"

namespace watari::net {
namespace {

constexpr Seconds kAuthorityLife{20 * 365 * 86400LL}, kLeafLife{90 * 86400}, kBackdated{3600};

template <class T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* value) const { Free(value); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using CertPtr = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION, X509_EXTENSION_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, Deleter<BIGNUM, BN_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO, BIO_free_all>>;

auto crypto_failed(const char* what) { return fail(Code::Internal, "{} failed (OpenSSL)", what); }

template <class Write>
std::string to_pem(Write write) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  write(bio.get());
  char* data = nullptr;
  auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string pem_of(EVP_PKEY* key) {
  return to_pem([&](BIO* bio) { PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
}
std::string pem_of(X509* certificate) {
  return to_pem([&](BIO* bio) { PEM_write_bio_X509(bio, certificate); });
}

BioPtr reader(const std::string& text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

bool set_times(X509* certificate, Time now, Seconds life) {
  auto seconds = [](Time time) { return static_cast<std::time_t>(std::chrono::floor<Seconds>(time).time_since_epoch().count()); };
  return ASN1_TIME_set(X509_getm_notBefore(certificate), seconds(now - kBackdated)) &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), seconds(now + life));
}

bool set_serial(X509* certificate) {
  NumberPtr number(BN_new());
  return number && BN_rand(number.get(), 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate));
}

bool set_name(X509_NAME* name, const std::string& common_name) {
  auto add = [&](const char* field, const std::string& value) {
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.data()),
                                      static_cast<int>(value.size()), -1, 0) == 1;
  };
  return add("O", "Watari") && add("CN", common_name.substr(0, 64));  // ub-common-name of RFC 5280
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1);
}

// What both kinds of certificate have; extensions and signature follow.
CertPtr blank(EVP_PKEY* key, Time now, Seconds life, const std::string& common_name) {
  CertPtr out(X509_new());
  bool done = out && X509_set_version(out.get(), X509_VERSION_3) && set_serial(out.get()) && set_times(out.get(), now, life) &&
              X509_set_pubkey(out.get(), key) && set_name(X509_get_subject_name(out.get()), common_name);
  return done ? std::move(out) : nullptr;
}

Result<CertPtr> make_authority(EVP_PKEY* key, const std::string& common_name, Time now) {
  auto out = blank(key, now, kAuthorityLife, common_name);
  X509* made = out.get();
  bool done = made && X509_set_issuer_name(made, X509_get_subject_name(made)) &&
              add_extension(made, made, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              add_extension(made, made, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              add_extension(made, made, NID_subject_key_identifier, "hash") && X509_sign(made, key, EVP_sha256());
  if (!done) return crypto_failed("making the certificate authority");
  return out;
}

bool is_address(const std::string& name) {
  unsigned char bytes[16];
  return ::inet_pton(AF_INET, name.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

// The value goes through OpenSSL's configuration syntax, so nothing but letters, digits, '.', '-' and a leading "*." may get there.
bool is_dns_name(std::string_view name) {
  if (name.starts_with("*.")) name.remove_prefix(2);
  return !name.empty() && name.size() <= 253 && std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '.'; });
}

}  // namespace

bool is_certificate_name(const std::string& name) { return is_address(name) || is_dns_name(name); }

namespace {

class AuthorityImpl final : public Authority {
 public:
  AuthorityImpl(KeyPtr key, CertPtr certificate)
      : key_(std::move(key)), certificate_(std::move(certificate)), pem_(pem_of(certificate_.get())) {}

  const std::string& certificate() const override { return pem_; }

  Result<Certificate> issue(const std::vector<std::string>& names, Time now) const override {
    if (names.empty()) return fail(Code::InvalidArgument, "a certificate needs a name");
    std::vector<std::string> alternatives;
    for (const auto& name : names) {
      if (!is_certificate_name(name)) return fail(Code::InvalidArgument, "{} is neither a DNS name nor an IP address", name);
      alternatives.push_back((is_address(name) ? "IP:" : "DNS:") + name);
    }
    KeyPtr key(EVP_EC_gen("P-256"));
    auto leaf = key ? blank(key.get(), now, kLeafLife, names.front()) : nullptr;
    X509* made = leaf.get();
    bool done = made && X509_set_issuer_name(made, X509_get_subject_name(certificate_.get())) &&
                add_extension(made, certificate_.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                add_extension(made, certificate_.get(), NID_key_usage, "critical,digitalSignature") &&
                add_extension(made, certificate_.get(), NID_ext_key_usage, "serverAuth") &&
                add_extension(made, certificate_.get(), NID_authority_key_identifier, "keyid") &&
                add_extension(made, certificate_.get(), NID_subject_alt_name, join(alternatives, ",")) &&
                X509_sign(made, key_.get(), EVP_sha256());
    if (!done) return crypto_failed("making a certificate");
    return Certificate{pem_of(key.get()), pem_of(made) + pem_, now + kLeafLife};
  }

 private:
  KeyPtr key_;
  CertPtr certificate_;
  std::string pem_;
};

Result<KeyPtr> open_key(const std::filesystem::path& file, bool may_make) {
  if (auto text = sys::read_file(file)) {
    KeyPtr key(PEM_read_bio_PrivateKey(reader(*text).get(), nullptr, nullptr, nullptr));
    if (!key) return fail(Code::Corrupt, "{} holds no private key: restore it, or remove it and ca.pem beside it for a new authority", file.string());
    return key;
  }
  if (!may_make)
    return fail(Code::Corrupt, "{} is missing, but ca.pem is there: restore it, or remove ca.pem for a new authority (clients must trust it anew)", file.string());
  KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return crypto_failed("making a key");
  TRY_VOID(sys::replace_file(file, pem_of(key.get()), 0600, true));
  return key;
}

}  // namespace

Result<std::unique_ptr<Authority>> Authority::open(const std::filesystem::path& directory, Time now) {
  auto text = sys::read_file(directory / "ca.pem");
  TRY(auto key, open_key(directory / "ca.key", !text));
  CertPtr certificate;
  if (text) {
    certificate.reset(PEM_read_bio_X509(reader(*text).get(), nullptr, nullptr, nullptr));
    if (!certificate || X509_check_private_key(certificate.get(), key.get()) != 1)
      return fail(Code::Corrupt, "{0}/ca.pem is no certificate of {0}/ca.key: restore it, or remove both for a new authority", directory.string());
  } else {
    auto id = directory.filename().string() + " " + iso8601(now).substr(0, 10);  // tells authorities of several servers apart
    TRY(certificate, make_authority(key.get(), "Watari CA " + id, now));
    TRY_VOID(sys::replace_file(directory / "ca.pem", pem_of(certificate.get()), 0644, true));
  }
  return std::make_unique<AuthorityImpl>(std::move(key), std::move(certificate));
}

}  // namespace watari::net
