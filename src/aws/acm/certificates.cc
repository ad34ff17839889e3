// Imported certificates. Private keys are sealed by the vault before they are stored and never leave again by the API.
// Source: https://docs.aws.amazon.com/acm/latest/APIReference/API_ImportCertificate.html and its neighbours
#include <algorithm>

#include "aws/acm/wire.h"
#include "aws/gen/acm/delete_certificate.h"
#include "aws/gen/acm/describe_certificate.h"
#include "aws/gen/acm/get_certificate.h"
#include "aws/gen/acm/import_certificate.h"
#include "aws/gen/acm/list_certificates.h"
#include "aws/page.h"
#include "base/id.h"
#include "base/strings.h"
#include "vault/certificate.h"
#include "vault/vault.h"

namespace watari::aws::acm {

namespace {

std::string new_arn(const model::Scope& scope) {
  auto hex = random_hex(32);
  return fmt::format("arn:aws:acm:{}:{}:certificate/{}-{}-{}-{}-{}", scope.region, scope.account, hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4),
                     hex.substr(16, 4), hex.substr(20));
}

// Load balancers with a listener that shows the certificate.
std::vector<std::string> users_of(const Call& call, const std::string& arn) {
  std::vector<std::string> users;
  call.platform.control->state().listeners.each("", [&](const std::string&, const model::Listener& listener) {
    bool shows = std::ranges::find(listener.certificates, arn) != listener.certificates.end();
    if (shows && std::ranges::find(users, listener.load_balancer) == users.end()) users.push_back(listener.load_balancer);
  });
  return users;
}

std::string status_of(const Call& call, const model::Certificate& certificate) {
  return call.platform.clock.now() >= certificate.facts.not_after ? "EXPIRED" : "ISSUED";
}

template <class Wire>
void fill(Wire& out, const Call& call, const model::Certificate& certificate) {
  const auto& facts = certificate.facts;
  out.CertificateArn = certificate.arn;
  out.DomainName = facts.domain;
  out.Status = status_of(call, certificate);
  out.Type = "IMPORTED";
  out.KeyAlgorithm = facts.key_algorithm;
  out.RenewalEligibility = "INELIGIBLE";
  out.NotBefore = facts.not_before;
  out.NotAfter = facts.not_after;
  out.CreatedAt = certificate.imported_at;
  out.ImportedAt = certificate.imported_at;
}

}  // namespace

Result<model::Certificate> find_certificate(const Call& call, const std::string& arn) {
  auto found = call.platform.control->state().certificates.get(arn);
  if (!found || found->scope != call.scope)
    return error("ResourceNotFoundException", "Could not find certificate {}.", arn);
  return *found;
}

Result<ImportCertificateResponse> import_certificate(Call& call, const ImportCertificateRequest& request) {
  model::Certificate certificate{.scope = call.scope, .arn = request.CertificateArn.value_or("")};
  bool again = !certificate.arn.empty();
  if (again) {
    TRY(certificate, find_certificate(call, certificate.arn));
    if (!request.Tags.empty()) return error("ValidationException", "Tags cannot be specified when a certificate is imported again; use AddTagsToCertificate.");
  } else {
    certificate.arn = new_arn(call.scope);
  }
  certificate.body = request.Certificate;
  certificate.chain = request.CertificateChain.value_or("");
  TRY(certificate.facts, vault::examine_certificate(certificate.body, certificate.chain, request.PrivateKey, call.platform.clock.now()));
  TRY(certificate.sealed_key, call.platform.vault->seal(request.PrivateKey, certificate.arn));
  for (const auto& tag : request.Tags) certificate.tags.push_back({tag.Key, tag.Value.value_or("")});
  certificate.imported_at = call.platform.clock.now();
  TRY_VOID(call.platform.control->commit([&]() -> Result<void> {
    call.platform.control->state().certificates.put(certificate.arn, certificate);
    return {};
  }));
  return ImportCertificateResponse{.CertificateArn = certificate.arn};
}

Result<DescribeCertificateResponse> describe_certificate(Call& call, const DescribeCertificateRequest& request) {
  TRY(auto certificate, find_certificate(call, request.CertificateArn));
  const auto& facts = certificate.facts;
  CertificateDetail detail;
  fill(detail, call, certificate);
  detail.SubjectAlternativeNames = facts.names;
  detail.Serial = facts.serial;
  detail.Subject = facts.subject;
  detail.Issuer = facts.issuer;
  detail.SignatureAlgorithm = facts.signature_algorithm;
  detail.InUseBy = users_of(call, certificate.arn);
  return DescribeCertificateResponse{.Certificate = std::move(detail)};
}

Result<GetCertificateResponse> get_certificate(Call& call, const GetCertificateRequest& request) {
  TRY(auto certificate, find_certificate(call, request.CertificateArn));
  GetCertificateResponse response{.Certificate = certificate.body};
  if (!certificate.chain.empty()) response.CertificateChain = certificate.chain;
  return response;
}

Result<ListCertificatesResponse> list_certificates(Call& call, const ListCertificatesRequest& request) {
  // Without a filter AWS lists only certificates with RSA keys of 1024 and 2048 bits; here all are listed.
  auto found = matching(call.platform.control->state().certificates, "", [&](const model::Certificate& certificate) {
    return certificate.scope == call.scope && among(request.CertificateStatuses, status_of(call, certificate)) &&
           (!request.Includes || among(request.Includes->keyTypes, certificate.facts.key_algorithm));
  });
  TRY(auto page, paginate(call, std::move(found), request.NextToken, page_size(request.MaxItems, 1000), &model::Certificate::arn, "InvalidArgsException"));
  ListCertificatesResponse response{.NextToken = std::move(page.next_token)};
  for (const auto& certificate : page.items) {
    CertificateSummary summary;
    fill(summary, call, certificate);
    summary.SubjectAlternativeNameSummaries = certificate.facts.names;
    summary.HasAdditionalSubjectAlternativeNames = false;
    summary.InUse = !users_of(call, certificate.arn).empty();
    summary.Exported = false;
    response.CertificateSummaryList.push_back(std::move(summary));
  }
  return response;
}

Result<DeleteCertificateResponse> delete_certificate(Call& call, const DeleteCertificateRequest& request) {
  return call.platform.control->commit([&]() -> Result<DeleteCertificateResponse> {
    TRY(auto certificate, find_certificate(call, request.CertificateArn));
    if (auto users = users_of(call, certificate.arn); !users.empty())
      return error("ResourceInUseException", "Certificate {} in account {} is in use: {}.", certificate.arn, call.scope.account, join(users, ", "));
    call.platform.control->state().certificates.erase(certificate.arn);
    return DeleteCertificateResponse{};
  });
}

}  // namespace watari::aws::acm
