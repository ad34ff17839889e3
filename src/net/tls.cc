#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/log.h"
#include "base/strings.h"

namespace watari::net {
namespace {

constexpr std::size_t kMaxNames = 1000;
constexpr Seconds kRenewBefore{30 * 86400};

struct Loaded {
  std::shared_ptr<EVP_PKEY> key;
  std::vector<std::shared_ptr<X509>> chain;  // the leaf first
  Time ends_at{};
};

Result<Loaded> load(const Certificate& certificate) {
  std::unique_ptr<BIO, decltype(&BIO_free_all)> key(BIO_new_mem_buf(certificate.key.data(), static_cast<int>(certificate.key.size())), &BIO_free_all);
  std::unique_ptr<BIO, decltype(&BIO_free_all)> chain(BIO_new_mem_buf(certificate.chain.data(), static_cast<int>(certificate.chain.size())), &BIO_free_all);
  Loaded out{.ends_at = certificate.ends_at};
  out.key.reset(PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  while (X509* next = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) out.chain.emplace_back(next, &X509_free);
  ERR_clear_error();  // the end of the chain is an error to OpenSSL, which the handshake that this is made for would find
  if (!out.key || out.chain.empty()) return fail(Code::Internal, "a certificate that was just made cannot be read");
  return out;
}

class CertificatesImpl final : public TlsCertificates {
 public:
  explicit CertificatesImpl(TlsOptions options) : options_(std::move(options)), context_(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free) {}

  Result<void> open() {
    if (!context_ || !SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION)) return fail(Code::Internal, "OpenSSL gives no TLS");
    SSL_CTX_set_options(context_.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context_.get(), SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(context_.get(), &choose_protocol, nullptr);
    SSL_CTX_set_cert_cb(context_.get(), &choose_certificate, this);
    TRY_VOID(certificate_for(""));
    return {};
  }

  void* native() override { return context_.get(); }

 private:
  // HTTP/1.1 is what the server speaks; a client that offers only others is refused by its own choice.
  static int choose_protocol(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* in, unsigned size, void*) {
    static constexpr unsigned char kOurs[] = "\x08http/1.1";
    auto chosen = SSL_select_next_proto(const_cast<unsigned char**>(out), length, kOurs, sizeof kOurs - 1, in, size);
    return chosen == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
  }

  static int choose_certificate(SSL* ssl, void* self) {
    const char* asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    auto name = to_lower(asked ? asked : "");
    auto found = static_cast<CertificatesImpl*>(self)->certificate_for(serves_name(name) ? name : "");
    if (!found) {
      log::error("no certificate for {}: {}", name, found.error().message);
      return 0;
    }
    SSL_certs_clear(ssl);
    if (!SSL_use_certificate(ssl, found->chain.front().get()) || !SSL_use_PrivateKey(ssl, found->key.get())) return 0;
    for (auto at = found->chain.begin() + 1; at != found->chain.end(); ++at)
      if (!SSL_add1_chain_cert(ssl, at->get())) return 0;
    return 1;
  }

  // "" is the certificate of the server's own names.
  Result<Loaded> certificate_for(const std::string& name) {
    std::lock_guard lock(mutex_);
    auto now = options_.clock->now();
    auto found = loaded_.find(name);
    if (found != loaded_.end() && found->second.ends_at - now > kRenewBefore) return found->second;
    if (loaded_.size() >= kMaxNames) std::erase_if(loaded_, [](const auto& entry) { return !entry.first.empty(); });
    TRY(auto issued, options_.authority->issue(name.empty() ? options_.own_names : std::vector{name}, now));
    TRY(auto made, load(issued));
    return loaded_[name] = std::move(made);
  }

  TlsOptions options_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::mutex mutex_;
  std::map<std::string, Loaded> loaded_;
};

}  // namespace

bool serves_name(std::string_view name) {
  bool plain = !name.empty() && name.size() <= 253 && name.front() != '.' &&
               std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '.'; });
  return plain && (name == "localhost" || name.ends_with(".localhost") || name.ends_with(".amazonaws.com") || name.ends_with(".amazonaws.com.cn"));
}

Result<std::shared_ptr<TlsCertificates>> TlsCertificates::make(TlsOptions options) {
  auto made = std::make_shared<CertificatesImpl>(std::move(options));
  TRY_VOID(made->open());
  return made;
}

}  // namespace watari::net
