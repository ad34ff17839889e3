#pragma once
// The wire protocols: bytes <-> Json with the model's member names (aws/codec.h does the rest).
// Source: https://smithy.io/2.0/aws/protocols/ (awsJson1_0, awsJson1_1, awsQuery, ec2Query) and
// https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html (CBOR)
#include "aws/error.h"
#include "net/http.h"

namespace watari::aws {

// The parameters of a Query or EC2 request: of the body and the query string.
using Parameters = std::vector<std::pair<std::string, std::string>>;
Parameters parameters_of(const net::Request& request);
std::string parameter(const Parameters& parameters, std::string_view name);

// InvalidArgument when the body is not what the protocol wants.
Result<codec::Json> read_request(Protocol protocol, const Operation& operation, const net::Request& request);

// "/service/CodeDeploy_20141006/operation/GetDeployment" of a Cbor request; nothing when the path is another.
struct RpcPath {
  std::string_view service, operation;
};
std::optional<RpcPath> rpc_path(std::string_view path);

// `content_type` is the request's: awsJson 1.0 and 1.1 answer with their own.
net::Response write_reply(Protocol protocol, const Service& service, const Operation& operation, const codec::Json& output,
                          const std::string& request_id, std::string_view content_type);
net::Response write_error(Protocol protocol, const WireError& error, const std::string& request_id, std::string_view content_type,
                          std::string_view xml_namespace = {});

}  // namespace watari::aws
