#pragma once
// A service and its operations as the generated dispatch tables describe them.
#include "aws/codec.h"

namespace watari::aws {

struct Call;

enum class Protocol : std::uint8_t { Json, Query, Ec2, Cbor };

struct Operation {
  std::string_view name;
  const Shape& input;
  const Shape& output;
  Accept accept;
  bool pool;  // the handler blocks: it runs on a pool thread, not on the control loop
  Result<codec::Json> (*run)(const Operation& operation, Call& call, const codec::Json& request);
};

// An error of the model whose code on the wire or HTTP status is not simply {name, 400}. `code` is what the Query and EC2
// protocols call it.
struct ModelError {
  std::string_view name;
  std::string_view code;
  int status;
};

struct Service {
  std::string_view name;            // botocore's: "elbv2"
  std::string_view signing_name;    // in the credential scope: "elasticloadbalancing"
  std::span<const Protocol> protocols;  // all that it is spoken to in: CodeDeploy Json and Cbor, CloudWatch Query besides
  std::string_view target_prefix;   // X-Amz-Target and the path of Cbor requests: "AmazonEC2ContainerServiceV20141113"
  std::string_view api_version;
  std::string_view xml_namespace;
  std::string_view validation_code; // how the service calls a request that breaks the model
  std::span<const Operation> operations;
  std::span<const ModelError> errors;

  bool speaks(Protocol protocol) const {
    for (auto one : protocols)
      if (one == protocol) return true;
    return false;
  }
  const Operation* find(std::string_view operation) const {
    for (const auto& candidate : operations)
      if (candidate.name == operation) return &candidate;
    return nullptr;
  }
};

std::span<const Service* const> services();  // generated

template <class Request, class Response, Result<Response> (*handler)(Call&, const Request&)>
Result<codec::Json> run_handler(const Operation& operation, Call& call, const codec::Json& json) {
  Request request{};
  TRY_VOID(decode(operation.input, json, operation.accept, &request));
  TRY(auto response, handler(call, request));
  return encode(operation.output, &response);
}

}  // namespace watari::aws
