// Functions: what the names stand for that lifecycle hooks and AppSpecs call.
#include "aws/gen/watari/delete_function.h"
#include "aws/gen/watari/list_functions.h"
#include "aws/gen/watari/put_function.h"
#include "control/control.h"

namespace watari::aws::watari {

Result<PutFunctionResponse> put_function(Call& call, const PutFunctionRequest& request) {
  model::Function function{.scope = call.scope, .name = request.name};
  function.url = request.url.value_or("");
  function.task_definition = request.taskDefinition.value_or("");
  TRY_VOID(control::put_function(*call.platform.control, std::move(function)));
  return PutFunctionResponse{};
}

Result<ListFunctionsResponse> list_functions(Call& call, const ListFunctionsRequest&) {
  ListFunctionsResponse response;
  call.platform.control->state().functions.each(control::scope_prefix(call.scope), [&](const auto&, const model::Function& function) {
    FunctionSummary summary;
    summary.name = function.name;
    if (!function.url.empty()) summary.url = function.url;
    if (!function.task_definition.empty()) summary.taskDefinition = function.task_definition;
    summary.updatedAt = function.updated_at;
    response.functions.push_back(std::move(summary));
  });
  return response;
}

Result<DeleteFunctionResponse> delete_function(Call& call, const DeleteFunctionRequest& request) {
  auto deleted = control::delete_function(*call.platform.control, call.scope, request.name);
  if (!deleted && deleted.error().code == Code::NotFound) return error("ResourceNotFoundException", "{}", deleted.error().message);
  TRY_VOID(deleted);
  return DeleteFunctionResponse{};
}

}  // namespace watari::aws::watari
