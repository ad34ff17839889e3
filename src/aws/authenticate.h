#pragma once
// Who sent a request: checks its Signature Version 4, in the Authorization header or presigned in the query.
#include "aws/credentials.h"
#include "base/clock.h"
#include "net/http.h"

namespace watari::aws {

struct Caller {
  Principal principal;
  std::string region;
  std::string service;  // the signing name in the credential scope
};

// The region and service that the request says it is signed for, unchecked: enough to choose the form of an error.
std::string claimed_service(const net::Request& request);

// Unauthenticated, with one of the reasons MissingAuthenticationToken, IncompleteSignature, InvalidClientTokenId,
// SignatureDoesNotMatch, RequestExpired; aws/error.h words them as each protocol does.
Result<Caller> authenticate(const net::Request& request, const Credentials& credentials, Time now);

}  // namespace watari::aws
