#pragma once
#include "aws/call.h"
#include "aws/tags.h"
#include "control/control.h"
#include "model/certificate.h"

namespace watari::aws::acm {

// Of the call's account and region; ResourceNotFoundException.
Result<model::Certificate> find_certificate(const Call& call, const std::string& arn);

}  // namespace watari::aws::acm
