// GetParametersByPath and DescribeParameters.
// Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ParameterStringFilter.html
#include <algorithm>

#include "aws/gen/ssm/describe_parameters.h"
#include "aws/gen/ssm/get_parameters_by_path.h"
#include "aws/page.h"
#include "aws/ssm/wire.h"

namespace watari::aws::ssm {
namespace {

bool any(const std::vector<std::string>& values, auto&& matches) { return std::ranges::any_of(values, matches); }

Result<void> check_option(const ParameterStringFilter& filter, std::initializer_list<std::string_view> options) {
  auto option = filter.Option.value_or("Equals");
  if (filter.Values.empty()) return error("InvalidFilterValue", "The filter {} needs values.", filter.Key);
  for (auto known : options)
    if (option == known) return {};
  std::vector<std::string> names(options.begin(), options.end());
  return error("InvalidFilterOption", "The filter {} takes the options {}, not {}.", filter.Key, fmt::join(names, ", "), option);
}

Result<bool> matches_text(const ParameterStringFilter& filter, const std::string& text) {
  auto option = filter.Option.value_or("Equals");
  TRY_VOID(check_option(filter, {"Equals", "BeginsWith"}));
  return any(filter.Values, [&](const auto& value) { return option == "Equals" ? text == value : text.starts_with(value); });
}

Result<bool> matches_name(const ParameterStringFilter& filter, const std::string& name) {
  TRY_VOID(check_option(filter, {"Equals", "BeginsWith", "Contains"}));
  auto option = filter.Option.value_or("Equals");
  return any(filter.Values, [&](const auto& value) {
    if (option == "Equals") return name == value;
    return option == "BeginsWith" ? name.starts_with(value) : name.find(value) != std::string::npos;
  });
}

Result<bool> matches_path(const ParameterStringFilter& filter, const std::string& name) {
  auto with_default = filter;
  with_default.Option = filter.Option.value_or("OneLevel");
  TRY_VOID(check_option(with_default, {"OneLevel", "Recursive"}));
  return any(filter.Values, [&](const auto& path) { return vault::is_below(name, path, with_default.Option == "Recursive"); });
}

Result<bool> matches_tag(const ParameterStringFilter& filter, const vault::Parameter& parameter) {
  auto key = filter.Key.substr(std::string_view("tag:").size());
  for (const auto& tag : parameter.tags)
    if (tag.key == key) return filter.Values.empty() || std::ranges::find(filter.Values, tag.value) != filter.Values.end();
  return false;
}

Result<bool> matches(const ParameterStringFilter& filter, const vault::Parameter& parameter) {
  if (filter.Key == "Name") return matches_name(filter, parameter.name);
  if (filter.Key == "Path") return matches_path(filter, parameter.name);
  if (filter.Key == "Type") return matches_text(filter, parameter.latest.type);
  if (filter.Key == "Tier") return matches_text(filter, parameter.latest.tier);
  if (filter.Key == "DataType") return matches_text(filter, "text");
  if (filter.Key == "KeyId") return matches_text(filter, is_secure(parameter.latest) ? std::string(kKeyId) : "");
  if (filter.Key.starts_with("tag:")) return matches_tag(filter, parameter);
  return error("InvalidFilterKey", "The filter {} is not supported by Watari; use Name, Path, Type, Tier, DataType, KeyId or tag:KEY.",
               filter.Key);
}

Result<std::vector<const vault::Parameter*>> select(const Call& call, const std::vector<ParameterStringFilter>& filters, auto&& wanted) {
  std::vector<const vault::Parameter*> out;
  for (const auto* parameter : call.platform.vault->list(call.scope)) {
    bool all = wanted(*parameter);
    for (const auto& filter : filters) {
      TRY(bool one, matches(filter, *parameter));
      all = all && one;
    }
    if (all) out.push_back(parameter);
  }
  return out;
}

std::string name_of(const vault::Parameter* parameter) { return parameter->name; }

ParameterMetadata to_metadata(const Call& call, const vault::Parameter& parameter) {
  ParameterMetadata out{.Name = parameter.name, .ARN = vault::parameter_arn(call.scope, parameter.name)};
  describe_version(out, parameter.latest);
  return out;
}

}  // namespace

Result<GetParametersByPathResponse> get_parameters_by_path(Call& call, const GetParametersByPathRequest& request) {
  if (!request.Path.starts_with('/'))
    return error("ValidationException",
                 "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\". It "
                 "can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). It must use only letters, numbers, or the following symbols: "
                 ". (period), - (hyphen), _ (underscore). Special characters are not allowed. All sub-paths, if specified, must use the "
                 "forward slash symbol \"/\".");
  TRY(auto found, select(call, request.ParameterFilters, [&](const vault::Parameter& parameter) {
    return vault::is_below(parameter.name, request.Path, request.Recursive.value_or(false));
  }));
  TRY(auto page, paginate(call, std::move(found), request.NextToken, page_size(request.MaxResults, 10), name_of, kBadToken));
  GetParametersByPathResponse response{.NextToken = page.next_token};
  for (const auto* parameter : page.items) {
    TRY(auto wire, to_wire(call, parameter->name, parameter->latest, request.WithDecryption.value_or(false)));
    response.Parameters.push_back(std::move(wire));
  }
  return response;
}

Result<DescribeParametersResponse> describe_parameters(Call& call, const DescribeParametersRequest& request) {
  TRY(auto found, select(call, request.ParameterFilters, [](const vault::Parameter&) { return true; }));
  TRY(auto page, paginate(call, std::move(found), request.NextToken, page_size(request.MaxResults, 50), name_of, kBadToken));
  DescribeParametersResponse response{.NextToken = page.next_token};
  for (const auto* parameter : page.items) response.Parameters.push_back(to_metadata(call, *parameter));
  return response;
}

}  // namespace watari::aws::ssm
