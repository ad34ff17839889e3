#pragma once
// Looks at a certificate, its chain and its private key with OpenSSL before they are taken in. Pure; any thread.
#include <string>

#include "base/result.h"
#include "model/certificate.h"

namespace watari::vault {

// All three are PEM; the chain may be empty. InvalidArgument, worded as ACM does (Error::reason ValidationException): text that does
// not parse, a key that is encrypted or belongs to another certificate, a chain that does not lead on from the certificate, a
// certificate that is not valid yet or no longer.
// Source: https://docs.aws.amazon.com/acm/latest/userguide/import-certificate-prerequisites.html
Result<model::CertificateFacts> examine_certificate(const std::string& certificate, const std::string& chain, const std::string& private_key, Time now);

}  // namespace watari::vault
