#include "aws/codedeploy/app_spec.h"

#include <algorithm>

#include "aws/error.h"
#include "base/strings.h"
#include "codec/json.h"
#include "codec/yaml.h"

namespace watari::aws::codedeploy {
namespace {

using codec::Json;
using codec::Yaml;

template <class... Args>
auto invalid(fmt::format_string<Args...> format, Args&&... args) {
  return error("InvalidRevisionException", "The AppSpec file is not valid: {}", fmt::format(format, std::forward<Args>(args)...));
}

// Scalars become strings; what they mean is the reader's.
Json to_json(const Yaml& yaml) {
  switch (yaml.kind) {
    case Yaml::Kind::Null: return {};
    case Yaml::Kind::Scalar: return yaml.text;
    case Yaml::Kind::List: {
      auto out = Json::array();
      for (const auto& item : yaml.items) out.push(to_json(item));
      return out;
    }
    case Yaml::Kind::Map: break;
  }
  Json::Object members;
  for (std::size_t i = 0; i < yaml.keys.size(); ++i) members.emplace_back(yaml.keys[i].text, to_json(yaml.items[i]));
  return members;
}

Result<Json> parse(const std::string& text) {
  auto begin = text.find_first_not_of(" \t\r\n");
  if (begin != std::string::npos && text[begin] == '{') {
    auto json = codec::parse_json(text);
    if (json) return json;
    auto yaml = codec::parse_yaml(text, "appspec");  // YAML's flow style looks like JSON
    if (!yaml) return invalid("{}", json.error().message);
    return to_json(*yaml);
  }
  auto yaml = codec::parse_yaml(text, "appspec");
  if (!yaml) return invalid("{}", yaml.error().message);
  return to_json(*yaml);
}

std::string text_of(const Json& value) { return value.is_string() ? value.as_string() : value.is_null() ? "" : value.dump(); }

// The member of this name in any case; null when there is none.
const Json& member(const Json& object, std::string_view name) {
  static const Json kNull;
  for (const auto& [key, value] : object.as_object())
    if (to_lower(key) == to_lower(name)) return value;
  return kNull;
}

Result<void> only(const Json& object, std::string_view where, std::initializer_list<std::string_view> known) {
  if (!object.is_object()) return invalid("{} must be a map.", where);
  for (const auto& [key, value] : object.as_object())
    if (!std::ranges::any_of(known, [&](auto name) { return to_lower(name) == to_lower(key); }))
      return invalid("{}.{} is not supported by Watari; remove it.", where, key);
  return {};
}

Result<std::vector<std::string>> texts(const Json& value, std::string_view where) {
  std::vector<std::string> out;
  if (!value.is_null() && !value.is_array()) return invalid("{} must be a list.", where);
  for (const auto& item : value.as_array()) out.push_back(text_of(item));
  return out;
}

Result<void> read_network(const Json& value, AppSpec& out) {
  if (value.is_null()) return {};
  TRY_VOID(only(value, "NetworkConfiguration", {"AwsvpcConfiguration"}));
  const auto& vpc = member(value, "AwsvpcConfiguration");
  TRY_VOID(only(vpc, "AwsvpcConfiguration", {"Subnets", "SecurityGroups", "AssignPublicIp"}));
  AppSpec::Network network;
  TRY(network.subnets, texts(member(vpc, "Subnets"), "Subnets"));
  TRY(network.security_groups, texts(member(vpc, "SecurityGroups"), "SecurityGroups"));
  auto assign = text_of(member(vpc, "AssignPublicIp"));
  if (!assign.empty() && assign != "ENABLED" && assign != "DISABLED") return invalid("AssignPublicIp must be ENABLED or DISABLED.");
  network.assign_public_ip = assign == "ENABLED";
  out.network = std::move(network);
  return {};
}

Result<void> read_properties(const Json& properties, AppSpec& out) {
  TRY_VOID(only(properties, "Properties",
                {"TaskDefinition", "LoadBalancerInfo", "PlatformVersion", "NetworkConfiguration", "CapacityProviderStrategy"}));
  out.task_definition = text_of(member(properties, "TaskDefinition"));
  if (out.task_definition.empty()) return invalid("the TaskDefinition property is missing.");
  const auto& balancer = member(properties, "LoadBalancerInfo");
  if (balancer.is_null()) return invalid("the LoadBalancerInfo property is missing.");
  TRY_VOID(only(balancer, "LoadBalancerInfo", {"ContainerName", "ContainerPort"}));
  out.container = text_of(member(balancer, "ContainerName"));
  auto port = parse_number<int>(text_of(member(balancer, "ContainerPort")));
  if (out.container.empty() || !port || *port < 1 || *port > 65535)
    return invalid("LoadBalancerInfo needs a ContainerName and a ContainerPort between 1 and 65535.");
  out.container_port = *port;
  out.platform_version = text_of(member(properties, "PlatformVersion"));
  TRY_VOID(read_network(member(properties, "NetworkConfiguration"), out));
  const auto& providers = member(properties, "CapacityProviderStrategy");
  if (!providers.is_null() && !providers.is_array()) return invalid("CapacityProviderStrategy must be a list.");
  for (const auto& provider : providers.as_array()) {
    TRY_VOID(only(provider, "CapacityProviderStrategy", {"CapacityProvider", "Base", "Weight"}));
    out.capacity_providers.push_back(text_of(member(provider, "CapacityProvider")));
  }
  return {};
}

Result<void> read_resources(const Json& resources, AppSpec& out) {
  if (!resources.is_array() || resources.as_array().size() != 1 || resources.as_array()[0].as_object().size() != 1)
    return invalid("Resources must be a list with one service.");
  const auto& [name, service] = resources.as_array()[0].as_object()[0];
  TRY_VOID(only(service, name, {"Type", "Properties"}));
  auto type = text_of(member(service, "Type"));
  if (to_lower(type) != "aws::ecs::service") return invalid("{}.Type must be AWS::ECS::Service, not '{}'.", name, type);
  return read_properties(member(service, "Properties"), out);
}

Result<void> read_hooks(const Json& hooks, AppSpec& out) {
  if (!hooks.is_null() && !hooks.is_array()) return invalid("Hooks must be a list.");
  for (const auto& entry : hooks.as_array()) {
    if (!entry.is_object()) return invalid("each entry of Hooks names a lifecycle event and its function, as in `- BeforeInstall: smoke`.");
    for (const auto& [event, function] : entry.as_object()) {
      auto known = std::ranges::find_if(kHookEvents, [&](auto name) { return to_lower(name) == to_lower(event); });
      if (known == std::end(kHookEvents)) return invalid("{} is no lifecycle event that a hook can be given for.", event);
      if (!function.is_string() || function.as_string().empty()) return invalid("the hook {} names no function.", event);
      if (std::ranges::count(out.hooks, *known, &AppSpec::Hook::event)) return invalid("the hook {} is given twice.", event);
      out.hooks.push_back({std::string(*known), function.as_string()});
    }
  }
  std::ranges::sort(out.hooks, {}, [](const AppSpec::Hook& hook) { return std::ranges::find(kHookEvents, hook.event) - std::begin(kHookEvents); });
  return {};
}

}  // namespace

Result<AppSpec> parse_app_spec(const std::string& text) {
  TRY(auto root, parse(text));
  if (!root.is_object()) return invalid("it must be a map with version and Resources.");
  TRY_VOID(only(root, "AppSpec", {"version", "Resources", "Hooks"}));
  auto version = parse_number<double>(text_of(member(root, "version")));
  if (!version || (*version != 0.0 && *version != 1.0)) return invalid("version must be 0.0.");
  AppSpec out;
  TRY_VOID(read_resources(member(root, "Resources"), out));
  TRY_VOID(read_hooks(member(root, "Hooks"), out));
  return out;
}

}  // namespace watari::aws::codedeploy
