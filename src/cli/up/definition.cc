#include "cli/up/definition.h"

#include <algorithm>
#include <set>

#include "base/digest.h"

namespace watari::cli::up {
namespace {

using codec::Json;

// Tells what a revision was made from, so that the same again is recognised.
constexpr const char* kSourceTag = "watari:source";

Json words(const std::vector<std::string>& texts) {
  auto list = Json::array();
  for (const auto& text : texts) list.push(text);
  return list;
}

Json environment_of(const Container& c) {
  auto list = Json::array();
  for (const auto& [name, value] : c.environment) list.push(Json::object({{"name", name}, {"value", value}}));
  return list;
}

Json secrets_of(const Container& c) {
  auto list = Json::array();
  for (const auto& [name, parameter] : c.secrets) list.push(Json::object({{"name", name}, {"valueFrom", parameter}}));
  return list;
}

Json ports_of(const Container& c) {
  auto list = Json::array();
  for (int port : c.ports)
    list.push(Json::object({{"containerPort", port}, {"protocol", "tcp"}, {"name", fmt::format("{}-{}", c.name, port)}}));
  return list;
}

Json health_check_of(const HealthCheck& check) {
  auto out = Json::object({{"command", words(check.command)}, {"interval", check.interval.count()}, {"timeout", check.timeout.count()},
                           {"retries", check.retries}});
  if (check.start_period.count() > 0) out.set("startPeriod", check.start_period.count());
  return out;
}

Json mounts_of(const App& app, const Container& c) {
  auto list = Json::array();
  for (const auto& mount : c.volumes)
    list.push(Json::object({{"sourceVolume", volume_name(app, mount.volume)}, {"containerPath", mount.path}, {"readOnly", mount.read_only}}));
  return list;
}

Json volumes_of(const App& app, const std::vector<const Container*>& containers) {
  std::set<std::string> names;
  for (const auto* c : containers)
    for (const auto& mount : c->volumes) names.insert(volume_name(app, mount.volume));
  auto list = Json::array();
  for (const auto& name : names)
    list.push(Json::object(
        {{"name", name}, {"dockerVolumeConfiguration", Json::object({{"scope", "shared"}, {"autoprovision", true}})}}));
  return list;
}

Json log_of(const App& app, const Service& service, const std::string& region, const std::string& prefix) {
  return Json::object({{"logDriver", "awslogs"},
                       {"options", Json::object({{"awslogs-group", log_group(app, service.name)},
                                                 {"awslogs-region", region},
                                                 {"awslogs-create-group", "true"},
                                                 {"awslogs-stream-prefix", prefix}})}});
}

void set_list(Json& out, const char* name, Json list) {
  if (!list.as_array().empty()) out.set(name, std::move(list));
}

Json container_definition(const App& app, const Service& service, const Container& c, const Built& images, const std::string& region) {
  auto built = images.find(c.image);
  auto out = Json::object({{"name", c.name}, {"image", built == images.end() ? c.image : built->second}, {"essential", c.essential}});
  if (c.cpu) out.set("cpu", *c.cpu);
  if (c.memory) out.set("memory", *c.memory);
  set_list(out, "command", words(c.command));
  set_list(out, "entryPoint", words(c.entrypoint));
  set_list(out, "environment", environment_of(c));
  set_list(out, "secrets", secrets_of(c));
  set_list(out, "portMappings", ports_of(c));
  set_list(out, "mountPoints", mounts_of(app, c));
  if (c.health_check) out.set("healthCheck", health_check_of(*c.health_check));
  auto dependencies = Json::array();
  for (const auto& d : c.depends_on)
    dependencies.push(Json::object({{"containerName", d.container}, {"condition", d.condition}}));
  set_list(out, "dependsOn", dependencies);
  if (c.stop_timeout) out.set("stopTimeout", c.stop_timeout->count());
  if (!c.user.empty()) out.set("user", c.user);
  if (!c.working_directory.empty()) out.set("workingDirectory", c.working_directory);
  out.set("logConfiguration", log_of(app, service, region, service.name));
  return out;
}

}  // namespace

std::string volume_name(const App& app, const std::string& volume) { return app.cluster() + "-" + volume; }

std::string log_group(const App& app, const std::string& service) { return "/" + app.name + "/" + app.environment + "/" + service; }

Json task_definition(const App& app, const Service& service, const Built& images, const std::string& region) {
  auto containers = Json::array();
  std::vector<const Container*> all;
  for (const auto& c : service.containers) {
    containers.push(container_definition(app, service, c, images, region));
    all.push_back(&c);
  }
  auto out = Json::object({{"family", app.full_name(service.name)}, {"networkMode", "awsvpc"}, {"containerDefinitions", containers}});
  if (service.cpu) out.set("cpu", std::to_string(*service.cpu));
  if (service.memory) out.set("memory", std::to_string(*service.memory));
  set_list(out, "volumes", volumes_of(app, all));
  return out;
}

Json before_definition(const App& app, const Service& service, const Built& images, const std::string& region) {
  const auto& before = *service.release.before;
  auto alone = *std::ranges::find(service.containers, before.container, &Container::name);
  alone.command = before.command;
  alone.health_check.reset();
  alone.depends_on.clear();
  alone.ports.clear();
  alone.essential = true;
  auto container = container_definition(app, service, alone, images, region);
  container.set("logConfiguration", log_of(app, service, region, "before"));
  auto out = Json::object({{"family", app.full_name(service.name) + "-before"}, {"networkMode", "awsvpc"},
                           {"containerDefinitions", Json::array({container})}});
  set_list(out, "volumes", volumes_of(app, {&alone}));
  return out;
}

Result<Registered> register_definition(Client& client, Json request) {
  auto source = sha256_hex(request.dump());
  auto found = client.call("ecs", "DescribeTaskDefinition",
                           Json::object({{"taskDefinition", request["family"]}, {"include", Json::array({"TAGS"})}}));
  if (found) {
    for (const auto& tag : (*found)["tags"].as_array())
      if (tag["key"].as_string() == kSourceTag && tag["value"].as_string() == source)
        return Registered{(*found)["taskDefinition"]["taskDefinitionArn"].as_string(), false};
  } else if (found.error().reason != "ClientException") {  // AWS's answer for a family without an active revision
    return fail(found.error());
  }
  request.set("tags", Json::array({Json::object({{"key", kSourceTag}, {"value", source}})}));
  TRY(auto registered, client.call("ecs", "RegisterTaskDefinition", request));
  return Registered{registered["taskDefinition"]["taskDefinitionArn"].as_string(), true};
}

}  // namespace watari::cli::up
