#include "aws/gen/sts/get_caller_identity.h"

namespace watari::aws::sts {

// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
Result<GetCallerIdentityResponse> get_caller_identity(Call& call, const GetCallerIdentityRequest&) {
  return GetCallerIdentityResponse{.UserId = call.scope.account, .Account = call.scope.account, .Arn = call.principal};
}

}  // namespace watari::aws::sts
