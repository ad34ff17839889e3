#include "aws/error.h"

#include "base/log.h"

namespace watari::aws {
namespace {

struct Form {
  std::string_view code;
  int status;
};
// One error as each protocol family names it.
struct Common {
  std::string_view reason;
  Form json, query, ec2;
};

// Source: https://docs.aws.amazon.com/awssupport/latest/APIReference/CommonErrors.html, the same page of STS (Query), and
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
constexpr Common kCommon[] = {
    {"MissingAuthenticationToken", {"MissingAuthenticationTokenException", 400}, {"MissingAuthenticationToken", 403}, {"MissingAuthenticationToken", 403}},
    {"IncompleteSignature", {"IncompleteSignatureException", 400}, {"IncompleteSignature", 400}, {"AuthFailure", 401}},
    {"InvalidClientTokenId", {"UnrecognizedClientException", 400}, {"InvalidClientTokenId", 403}, {"AuthFailure", 401}},
    {"SignatureDoesNotMatch", {"InvalidSignatureException", 400}, {"SignatureDoesNotMatch", 403}, {"AuthFailure", 401}},
    {"RequestExpired", {"InvalidSignatureException", 400}, {"SignatureDoesNotMatch", 403}, {"RequestExpired", 400}},
    {"UnknownOperation", {"UnknownOperationException", 400}, {"InvalidAction", 400}, {"InvalidAction", 400}},
    {"SerializationException", {"SerializationException", 400}, {"MalformedInput", 400}, {"InvalidParameterValue", 400}},
};

// What a code means when the error names no AWS error itself.
Common by_code(Code code) {
  switch (code) {
    case Code::InvalidArgument: return {};  // the service's validation code
    case Code::NotFound: return {"", {"ResourceNotFoundException", 400}, {"ResourceNotFound", 404}, {"InvalidParameterValue", 400}};
    case Code::AlreadyExists: return {"", {"ResourceAlreadyExistsException", 400}, {"ResourceAlreadyExists", 409}, {"ResourceAlreadyExists", 400}};
    case Code::Conflict: return {"", {"ConflictException", 400}, {"OperationInProgress", 409}, {"IncorrectState", 400}};
    case Code::FailedPrecondition: return {"", {"InvalidRequestException", 400}, {"InvalidConfigurationRequest", 400}, {"IncorrectState", 400}};
    case Code::PermissionDenied: return {"", {"AccessDeniedException", 400}, {"AccessDenied", 403}, {"UnauthorizedOperation", 403}};
    case Code::Unauthenticated: return kCommon[2];
    case Code::ResourceExhausted: return {"", {"LimitExceededException", 400}, {"LimitExceeded", 400}, {"ResourceLimitExceeded", 400}};
    case Code::Unavailable:
    case Code::DeadlineExceeded:
    case Code::Cancelled: return {"", {"ServiceUnavailableException", 503}, {"ServiceUnavailable", 503}, {"Unavailable", 503}};
    case Code::Corrupt:
    case Code::Internal: break;
  }
  return {"", {"InternalServerError", 500}, {"InternalFailure", 500}, {"InternalError", 500}};
}

const Form& pick(const Common& common, Protocol protocol) {
  if (protocol == Protocol::Json || protocol == Protocol::Cbor) return common.json;
  return protocol == Protocol::Query ? common.query : common.ec2;
}

// Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#x-amzn-query-error
WireError modeled(const ModelError& known, const std::string& message, Protocol protocol) {
  if (protocol == Protocol::Query || protocol == Protocol::Ec2) return {std::string(known.code), message, known.status};
  return {std::string(known.name), message, known.status, std::string(known.code == known.name ? "" : known.code)};
}

}  // namespace

WireError to_wire(const Error& error, const Service* service, Protocol protocol) {
  if (!error.reason.empty()) {
    for (const auto& common : kCommon)
      if (common.reason == error.reason) return {std::string(pick(common, protocol).code), error.message, pick(common, protocol).status};
    if (service)
      for (const auto& known : service->errors)
        if (known.name == error.reason || known.code == error.reason) return modeled(known, error.message, protocol);
    return {error.reason, error.message, 400};
  }
  if (error.code == Code::InvalidArgument)
    return {std::string(service ? service->validation_code : "ValidationError"), error.message, 400};
  auto form = pick(by_code(error.code), protocol);
  return {std::string(form.code), error.message, form.status};
}

}  // namespace watari::aws
