#pragma once
// HTTPS on the server's ports: a connection whose first byte is TLS's is decrypted here and served like any other.
// Which certificate answers follows the name that the client asks for (SNI), made when it is first asked for.
#include <memory>
#include <string>
#include <vector>

#include "net/authority.h"
#include "net/connection.h"

namespace watari::net {

struct TlsOptions {
  const Authority* authority = nullptr;
  const Clock* clock = nullptr;
  std::vector<std::string> own_names;  // of the certificate for clients that ask for no name, or for one that is not served
};

// The names that get a certificate of their own: *.localhost, and AWS's (<account>.dkr.ecr.<region>.amazonaws.com): wildcards of
// certificates cover one label only, and clients refuse one right below a top-level domain.
bool serves_name(std::string_view name);

// The certificates in use, renewed when a third of their life is left. Thread-safe; shared by all connections.
class TlsCertificates {
 public:
  static Result<std::shared_ptr<TlsCertificates>> make(TlsOptions options);
  virtual ~TlsCertificates() = default;
  virtual void* native() = 0;  // SSL_CTX*
};

// Takes over a connected socket of the server: plain connections are passed on to Connection as they are.
void start_sniffed(int socket, std::shared_ptr<Shared> shared);

}  // namespace watari::net
