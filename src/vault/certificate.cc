#include "vault/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/strings.h"

namespace watari::vault {
namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

auto refuse(std::string message) { return fail(Error{Code::InvalidArgument, std::move(message), "ValidationException"}); }

std::vector<X509Ptr> read_certificates(const std::string& pem) {
  std::vector<X509Ptr> out;
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (auto* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) out.emplace_back(one);
  ERR_clear_error();
  return out;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  auto size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string name_text(const X509_NAME* name) {
  Bio bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  return text_of(bio.get());
}

std::string common_name(const X509* certificate) {
  char text[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text, sizeof text);
  return text;
}

std::vector<std::string> dns_names(const X509* certificate) {
  std::vector<std::string> out;
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names); ++i) {
    const auto* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS)
      out.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)), static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  GENERAL_NAMES_free(names);
  return out;
}

Time time_of(const ASN1_TIME* time) {
  tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return Time(std::chrono::duration_cast<Time::duration>(std::chrono::seconds(::timegm(&parts))));
}

std::string serial_of(const X509* certificate) {
  std::unique_ptr<BIGNUM, Freed<BN_free>> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  char* hex = BN_bn2hex(number.get());
  std::string out;
  for (std::size_t i = 0; hex[i]; i += 2) out += (i ? ":" : "") + to_lower(std::string(hex + i, 2));
  OPENSSL_free(hex);
  return out;
}

// As ACM names key algorithms; empty for one that it does not take.
std::string key_algorithm(EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
    auto bits = EVP_PKEY_get_bits(key);
    return bits == 1024 || bits == 2048 || bits == 3072 || bits == 4096 ? fmt::format("RSA_{}", bits) : "";
  }
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return "";
  char group[64] = "";
  std::size_t size = 0;
  EVP_PKEY_get_group_name(key, group, sizeof group, &size);
  std::string name(group, size);
  return name == "prime256v1" || name == "secp384r1" || name == "secp521r1" ? "EC_" + name : "";
}

std::string signature_algorithm(const X509* certificate) {
  int digest = NID_undef, key = NID_undef;
  OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &digest, &key);
  std::string with = key == NID_rsaEncryption ? "RSA" : key == NID_X9_62_id_ecPublicKey ? "ECDSA" : "";
  const char* name = OBJ_nid2sn(digest);
  return with.empty() || digest == NID_undef ? OBJ_nid2sn(X509_get_signature_nid(certificate)) : std::string(name) + "WITH" + with;
}

// Each certificate of the chain signed the one before it.
Result<void> check_chain(X509* leaf, const std::vector<X509Ptr>& chain) {
  auto* before = leaf;
  for (const auto& next : chain) {
    if (X509_check_issued(next.get(), before) != X509_V_OK || X509_verify(before, X509_get0_pubkey(next.get())) != 1) {
      ERR_clear_error();
      return refuse(fmt::format("Could not validate the certificate with the certificate chain: '{}' did not issue '{}'.",
                                name_text(X509_get_subject_name(next.get())), name_text(X509_get_subject_name(before))));
    }
    before = next.get();
  }
  return {};
}

}  // namespace

Result<model::CertificateFacts> examine_certificate(const std::string& certificate, const std::string& chain, const std::string& private_key, Time now) {
  auto leaves = read_certificates(certificate);
  if (leaves.empty()) return refuse("The certificate field contains an invalid or unparsable PEM certificate.");
  if (leaves.size() > 1) return refuse("The certificate field contains more than one certificate. You can specify only one certificate in this field.");
  auto issuers = read_certificates(chain);
  if (issuers.empty() && !trim(chain).empty()) return refuse("The certificate chain field contains no PEM certificate.");
  Bio bio(BIO_new_mem_buf(private_key.data(), static_cast<int>(private_key.size())));
  auto no_password = [](char*, int, int, void*) { return -1; };
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (!key) return refuse("The private key is not supported: it must be an unencrypted PEM key.");
  auto* leaf = leaves.front().get();
  if (X509_check_private_key(leaf, key.get()) != 1) {
    ERR_clear_error();
    return refuse("The private key does not match the certificate.");
  }
  TRY_VOID(check_chain(leaf, issuers));
  model::CertificateFacts facts{.names = dns_names(leaf), .subject = name_text(X509_get_subject_name(leaf)), .issuer = name_text(X509_get_issuer_name(leaf)),
                                .serial = serial_of(leaf), .key_algorithm = key_algorithm(key.get()), .signature_algorithm = signature_algorithm(leaf),
                                .not_before = time_of(X509_get0_notBefore(leaf)), .not_after = time_of(X509_get0_notAfter(leaf))};
  facts.domain = common_name(leaf);
  if (facts.domain.empty() && !facts.names.empty()) facts.domain = facts.names.front();
  if (facts.names.empty() && !facts.domain.empty()) facts.names.push_back(facts.domain);
  if (facts.key_algorithm.empty()) return refuse("The key algorithm of the certificate is not supported: RSA of 1024 to 4096 bits, or EC on P-256, P-384 or P-521.");
  if (now >= facts.not_after) return refuse("The certificate has expired.");
  if (now < facts.not_before) return refuse("The certificate is not valid yet.");
  return facts;
}

}  // namespace watari::vault
