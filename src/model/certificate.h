#pragma once
// Imported certificates (AWS Certificate Manager). Source: https://docs.aws.amazon.com/acm/latest/APIReference/
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "model/scope.h"

namespace watari::model {

// What the certificate itself says.
struct CertificateFacts {
  std::string domain;              // the common name, or the first alternative name
  std::vector<std::string> names;  // DNS names that it is for
  std::string subject, issuer, serial;
  std::string key_algorithm;        // RSA_2048, EC_prime256v1, …
  std::string signature_algorithm;  // SHA256WITHRSA, …
  Time not_before{}, not_after{};
  WATARI_FIELDS(CertificateFacts, domain, names, subject, issuer, serial, key_algorithm, signature_algorithm, not_before, not_after)
};

struct Certificate {
  Scope scope;
  std::string arn;
  std::string body, chain;  // PEM
  std::string sealed_key;   // PEM of the private key, sealed by the vault with the ARN as its context
  CertificateFacts facts;
  std::vector<Tag> tags;
  Time imported_at{};
  WATARI_FIELDS(Certificate, scope, arn, body, chain, sealed_key, facts, tags, imported_at)
};

}  // namespace watari::model
