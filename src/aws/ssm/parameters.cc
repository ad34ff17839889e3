// PutParameter, GetParameter(s), GetParameterHistory, DeleteParameter(s).
// Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html and its siblings
#include "aws/gen/ssm/delete_parameter.h"
#include "aws/gen/ssm/delete_parameters.h"
#include "aws/gen/ssm/get_parameter.h"
#include "aws/gen/ssm/get_parameter_history.h"
#include "aws/gen/ssm/get_parameters.h"
#include "aws/gen/ssm/put_parameter.h"
#include "aws/page.h"
#include "aws/ssm/wire.h"
#include "aws/tags.h"

namespace watari::aws::ssm {

Result<std::string> shown_value(const Call& call, const std::string& name, const vault::Version& version, bool decrypt) {
  if (is_secure(version) && !decrypt) return version.sealed;
  return call.platform.vault->open_value(call.scope, name, version);
}

Result<Parameter> to_wire(const Call& call, const std::string& name, const vault::Version& version, bool decrypt) {
  TRY(auto value, shown_value(call, name, version, decrypt));
  return Parameter{.Name = name,
                   .Type = version.type,
                   .Value = std::move(value),
                   .Version = version.version,
                   .LastModifiedDate = version.modified,
                   .ARN = vault::parameter_arn(call.scope, name),
                   .DataType = "text"};
}

namespace {

Result<Parameter> read(const Call& call, const std::string& text, bool decrypt) {
  TRY(auto reference, vault::parse_reference(call.scope, text));
  TRY(auto version, call.platform.vault->version(call.scope, reference.name, reference.version));
  TRY(auto parameter, to_wire(call, reference.name, version, decrypt));
  if (reference.version) parameter.Selector = fmt::format(":{}", *reference.version);
  return parameter;
}

}  // namespace

Result<PutParameterResponse> put_parameter(Call& call, const PutParameterRequest& request) {
  if (request.KeyId && request.Type.value_or("") != "SecureString")
    return error("ValidationException", "KeyId is allowed only for parameters of type SecureString.");
  vault::Put put{.name = request.Name,
                 .value = request.Value,
                 .type = request.Type.value_or(""),
                 .overwrite = request.Overwrite.value_or(false),
                 .description = request.Description,
                 .allowed_pattern = request.AllowedPattern,
                 .tier = request.Tier.value_or(""),
                 .by = call.principal,
                 .now = call.now};
  for (const auto& tag : request.Tags) put.tags.push_back(tag_from_wire(tag));
  TRY(auto version, call.platform.vault->put(call.scope, put));
  return PutParameterResponse{.Version = version.version, .Tier = version.tier};
}

Result<GetParameterResponse> get_parameter(Call& call, const GetParameterRequest& request) {
  TRY(auto parameter, read(call, request.Name, request.WithDecryption.value_or(false)));
  return GetParameterResponse{.Parameter = std::move(parameter)};
}

Result<GetParametersResponse> get_parameters(Call& call, const GetParametersRequest& request) {
  GetParametersResponse response;
  for (const auto& name : request.Names) {
    auto parameter = read(call, name, request.WithDecryption.value_or(false));
    if (parameter) response.Parameters.push_back(*std::move(parameter));
    else if (parameter.error().code == Code::NotFound) response.InvalidParameters.push_back(name);
    else return fail(parameter.error());
  }
  return response;
}

Result<GetParameterHistoryResponse> get_parameter_history(Call& call, const GetParameterHistoryRequest& request) {
  TRY(auto reference, vault::parse_reference(call.scope, request.Name));
  TRY_VOID(call.platform.vault->version(call.scope, reference.name));
  auto position = [](const vault::Version& version) { return fmt::format("{:020}", version.version); };
  TRY(auto page, paginate(call, call.platform.vault->history(call.scope, reference.name), request.NextToken,
                          page_size(request.MaxResults, 50), position, kBadToken));
  GetParameterHistoryResponse response{.NextToken = page.next_token};
  for (const auto& version : page.items) {
    TRY(auto value, shown_value(call, reference.name, version, request.WithDecryption.value_or(false)));
    ParameterHistory out{.Name = reference.name, .Value = std::move(value)};
    describe_version(out, version);
    response.Parameters.push_back(std::move(out));
  }
  return response;
}

Result<DeleteParameterResponse> delete_parameter(Call& call, const DeleteParameterRequest& request) {
  TRY(auto reference, vault::parse_reference(call.scope, request.Name));
  TRY_VOID(call.platform.vault->version(call.scope, reference.name));
  TRY_VOID(call.platform.vault->remove(call.scope, {reference.name}));
  return DeleteParameterResponse{};
}

Result<DeleteParametersResponse> delete_parameters(Call& call, const DeleteParametersRequest& request) {
  DeleteParametersResponse response;
  for (const auto& name : request.Names)
    (call.platform.vault->find(call.scope, name) ? response.DeletedParameters : response.InvalidParameters).push_back(name);
  TRY_VOID(call.platform.vault->remove(call.scope, response.DeletedParameters));
  return response;
}

}  // namespace watari::aws::ssm
