#pragma once
// The server's own certificate authority: DIR/ca.key (0600) and DIR/ca.pem, made once, valid for twenty years. What clients trust to
// reach this server by HTTPS; it signs nothing but this server's own certificates. Owned by apps; thread-safe, immutable once open.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace watari::net {

// A certificate with its key, both PEM.
struct Certificate {
  std::string key, chain;
  Time ends_at{};
};

// A DNS name (also *.example.com) or an IP address, of characters that may stand in a certificate.
bool is_certificate_name(const std::string& name);

class Authority {
 public:
  // Corrupt when the two files do not belong together, with what to do. A crash in between leaves at most a key, which is used then.
  static Result<std::unique_ptr<Authority>> open(const std::filesystem::path& directory, Time now);
  virtual ~Authority() = default;

  virtual const std::string& certificate() const = 0;  // the CA's own, PEM
  // For these DNS names and IP addresses (at least one), valid for 90 days, with a new key. InvalidArgument for a name that is neither.
  // Source: https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.6
  virtual Result<Certificate> issue(const std::vector<std::string>& names, Time now) const = 0;
};

}  // namespace watari::net
