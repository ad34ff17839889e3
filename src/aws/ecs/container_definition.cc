#include "aws/ecs/container_definition.h"

#include <algorithm>
#include <set>

#include "aws/error.h"
#include "base/strings.h"

namespace watari::aws::ecs {
namespace {

auto refuse(const std::string& container, const std::string& what) {
  return error("ClientException", "Container {}: {}", container, what);
}

// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_KernelCapabilities.html names them without CAP_.
std::vector<std::string> with_prefix(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const auto& name : names) out.push_back(name.starts_with("CAP_") || name == "ALL" ? name : "CAP_" + name);
  return out;
}

std::vector<std::string> without_prefix(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const auto& name : names) out.push_back(name.starts_with("CAP_") ? name.substr(4) : name);
  return out;
}

Result<model::PortMapping> read(const std::string& container, const PortMapping& port) {
  model::PortMapping out{.name = port.name.value_or(""), .container_port = port.containerPort.value_or(0),
                         .protocol = port.protocol.value_or("tcp"), .app_protocol = port.appProtocol.value_or("")};
  if (out.container_port < 1 || out.container_port > 65535)
    return refuse(container, "portMappings needs a containerPort from 1 to 65535.");
  if (port.hostPort && *port.hostPort != 0 && *port.hostPort != out.container_port)
    return error("ClientException",
                 "When networkMode=awsvpc, the host ports and container ports in port mappings must match.");
  return out;
}

// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
Result<model::HealthCheck> read(const std::string& container, const HealthCheck& check) {
  if (check.command.empty() || (check.command[0] != "CMD" && check.command[0] != "CMD-SHELL" && check.command[0] != "NONE"))
    return refuse(container, "healthCheck.command begins with CMD, CMD-SHELL or NONE.");
  if (check.command[0] != "NONE" && check.command.size() < 2)
    return refuse(container, "healthCheck.command names no command after " + check.command[0] + ".");
  model::HealthCheck out{.command = check.command, .interval = Seconds(check.interval.value_or(30)),
                         .timeout = Seconds(check.timeout.value_or(5)), .retries = check.retries.value_or(3),
                         .start_period = Seconds(check.startPeriod.value_or(0))};
  // AWS refuses an interval below 5 s; shorter ones are welcome here, since a probe costs little.
  if (out.interval < Seconds(1) || out.interval > Seconds(300)) return refuse(container, "healthCheck.interval is 1 to 300 seconds.");
  if (out.timeout < Seconds(1) || out.timeout > Seconds(120)) return refuse(container, "healthCheck.timeout is 1 to 120 seconds.");
  if (out.retries < 1 || out.retries > 10) return refuse(container, "healthCheck.retries is 1 to 10.");
  if (out.start_period < Seconds(0) || out.start_period > Seconds(300))
    return refuse(container, "healthCheck.startPeriod is 0 to 300 seconds.");
  return out;
}

Result<model::LogConfiguration> read(const std::string& container, const LogConfiguration& log) {
  static const std::set<std::string> known = {"awslogs-group", "awslogs-region", "awslogs-stream-prefix", "awslogs-create-group"};
  for (const auto& [name, value] : log.options)
    if (!known.contains(name))
      return refuse(container, fmt::format("the log option {} is not supported by Watari; remove it. Supported: {}.", name,
                                           fmt::join(known, ", ")));
  if (!log.options.contains("awslogs-group")) return refuse(container, "the log driver awslogs needs the option awslogs-group.");
  // The names become folders (docs/formats/log-group.md); 255 bytes is what one may have.
  const auto& group = log.options.at("awslogs-group");
  auto fine = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || std::string_view(".-_/#").find(c) != std::string_view::npos; };
  if (!std::all_of(group.begin(), group.end(), fine) || group.find_first_not_of('.') == std::string::npos || percent_encode(group).size() > 255)
    return refuse(container, fmt::format("the log group '{}' is no name of one: use letters, digits and . - _ / #.", group));
  if (auto prefix = log.options.find("awslogs-stream-prefix"); prefix != log.options.end())
    if (percent_encode(prefix->second + "/" + container + "/").size() + 32 > 255)
      return refuse(container, "awslogs-stream-prefix and the container's name are too long together for a log stream.");
  if (auto region = log.options.find("awslogs-region"); region != log.options.end()) {
    auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    if (region->second.empty() || region->second.size() > 64 || !std::ranges::all_of(region->second, letter))
      return refuse(container, fmt::format("awslogs-region '{}' is no name of a region.", region->second));
  }
  // The group is made when it is missing, also without awslogs-create-group: no line may be lost for want of one.
  if (auto create = log.options.find("awslogs-create-group"); create != log.options.end() && create->second != "true")
    return refuse(container, "awslogs-create-group can only be true: Watari always makes a missing log group.");
  return model::LogConfiguration{.driver = log.logDriver, .options = log.options};
}

std::optional<Seconds> seconds(std::optional<int> value) {
  return value ? std::optional(Seconds(*value)) : std::nullopt;
}

}  // namespace

Result<model::ContainerDefinition> from_wire(const ContainerDefinition& in) {
  auto name = in.name.value_or("");
  auto fine = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; };
  if (name.empty()) return error("ClientException", "Container.name should not be null or empty.");
  if (name.size() > 255 || !std::all_of(name.begin(), name.end(), fine))
    return error("ClientException", "Invalid container name: {}. Use letters, digits, '-' and '_'.", name);
  if (in.image.value_or("").empty()) return error("ClientException", "Container.image should not be null or empty.");

  model::ContainerDefinition out{.name = name, .image = *in.image, .cpu = in.cpu.value_or(0),
                                 .essential = in.essential.value_or(true), .entry_point = in.entryPoint, .command = in.command,
                                 .working_directory = in.workingDirectory.value_or(""), .user = in.user.value_or(""),
                                 .hostname = in.hostname.value_or("")};
  if (in.memory) out.memory_mib = *in.memory;
  if (in.memoryReservation) out.memory_reservation_mib = *in.memoryReservation;
  if (out.memory_mib.value_or(6) < 6) return refuse(name, "memory is at least 6 MiB.");
  if (out.memory_mib && out.memory_reservation_mib && *out.memory_reservation_mib > *out.memory_mib)
    return refuse(name, "memoryReservation must not be larger than memory.");
  for (const auto& port : in.portMappings) {
    TRY(auto read_port, read(name, port));
    out.ports.push_back(std::move(read_port));
  }
  for (const auto& variable : in.environment) out.environment[variable.name.value_or("")] = variable.value.value_or("");
  for (const auto& secret : in.secrets) {
    if (out.environment.contains(secret.name))
      return refuse(name, "the name " + secret.name + " is in both environment and secrets.");
    out.secrets.push_back({secret.name, secret.valueFrom});
  }
  for (const auto& mount : in.mountPoints) {
    if (!mount.containerPath.value_or("").starts_with("/")) return refuse(name, "mountPoints needs an absolute containerPath.");
    out.mounts.push_back({mount.sourceVolume.value_or(""), *mount.containerPath, mount.readOnly.value_or(false)});
  }
  for (const auto& dependency : in.dependsOn)
    out.depends_on.push_back({dependency.containerName, parse_enum<model::DependencyCondition>(dependency.condition).value()});
  out.start_timeout = seconds(in.startTimeout);
  out.stop_timeout = seconds(in.stopTimeout);
  if (in.healthCheck && (in.healthCheck->command.empty() || in.healthCheck->command[0] != "NONE")) {
    TRY(out.health_check, read(name, *in.healthCheck));
  }
  if (in.logConfiguration) {
    TRY(out.log, read(name, *in.logConfiguration));
  }
  if (in.linuxParameters) {
    model::LinuxParameters linux_parameters{.init_process = in.linuxParameters->initProcessEnabled.value_or(false)};
    if (in.linuxParameters->capabilities) {
      linux_parameters.add_capabilities = with_prefix(in.linuxParameters->capabilities->add);
      linux_parameters.drop_capabilities = with_prefix(in.linuxParameters->capabilities->drop);
    }
    if (in.linuxParameters->sharedMemorySize) linux_parameters.shared_memory_mib = *in.linuxParameters->sharedMemorySize;
    out.linux_parameters = linux_parameters;
  }
  for (const auto& limit : in.ulimits) out.ulimits.push_back({limit.name, limit.softLimit, limit.hardLimit});
  for (const auto& control : in.systemControls) out.system_controls[control.namespace_.value_or("")] = control.value.value_or("");
  out.docker_labels = in.dockerLabels;
  out.privileged = in.privileged.value_or(false);
  out.read_only_root = in.readonlyRootFilesystem.value_or(false);
  out.pseudo_terminal = in.pseudoTerminal.value_or(false);
  out.interactive = in.interactive.value_or(false);
  return out;
}

ContainerDefinition to_wire(const model::ContainerDefinition& in) {
  ContainerDefinition out{.name = in.name, .image = in.image, .cpu = static_cast<int>(in.cpu)};
  auto text = [](const std::string& value) { return value.empty() ? std::nullopt : std::optional(value); };
  auto number = [](const auto& value) { return value ? std::optional(static_cast<int>(*value)) : std::nullopt; };
  auto count = [](const std::optional<Seconds>& value) { return value ? std::optional(static_cast<int>(value->count())) : std::nullopt; };
  auto flag = [](bool value) { return value ? std::optional(true) : std::nullopt; };
  out.memory = number(in.memory_mib);
  out.memoryReservation = number(in.memory_reservation_mib);
  for (const auto& port : in.ports)
    out.portMappings.push_back({.containerPort = port.container_port, .hostPort = port.container_port, .protocol = port.protocol,
                                .name = text(port.name), .appProtocol = text(port.app_protocol)});
  out.essential = in.essential;
  out.entryPoint = in.entry_point;
  out.command = in.command;
  for (const auto& [name, value] : in.environment) out.environment.push_back({.name = name, .value = value});
  for (const auto& secret : in.secrets) out.secrets.push_back({.name = secret.name, .valueFrom = secret.value_from});
  for (const auto& mount : in.mounts)
    out.mountPoints.push_back({.sourceVolume = mount.source_volume, .containerPath = mount.container_path, .readOnly = mount.read_only});
  for (const auto& dependency : in.depends_on)
    out.dependsOn.push_back({.containerName = dependency.container, .condition = std::string(name_of(dependency.condition))});
  out.startTimeout = count(in.start_timeout);
  out.stopTimeout = count(in.stop_timeout);
  out.hostname = text(in.hostname);
  out.user = text(in.user);
  out.workingDirectory = text(in.working_directory);
  out.privileged = flag(in.privileged);
  out.readonlyRootFilesystem = flag(in.read_only_root);
  out.interactive = flag(in.interactive);
  out.pseudoTerminal = flag(in.pseudo_terminal);
  out.dockerLabels = in.docker_labels;
  for (const auto& limit : in.ulimits)
    out.ulimits.push_back({.name = limit.name, .softLimit = static_cast<int>(limit.soft), .hardLimit = static_cast<int>(limit.hard)});
  if (in.log) out.logConfiguration = LogConfiguration{.logDriver = in.log->driver, .options = in.log->options};
  if (in.health_check)
    out.healthCheck = HealthCheck{.command = in.health_check->command, .interval = count(in.health_check->interval),
                                  .timeout = count(in.health_check->timeout), .retries = in.health_check->retries,
                                  .startPeriod = count(in.health_check->start_period)};
  for (const auto& [name, value] : in.system_controls) out.systemControls.push_back({.namespace_ = name, .value = value});
  if (in.linux_parameters) {
    LinuxParameters parameters{.initProcessEnabled = flag(in.linux_parameters->init_process),
                               .sharedMemorySize = number(in.linux_parameters->shared_memory_mib)};
    if (!in.linux_parameters->add_capabilities.empty() || !in.linux_parameters->drop_capabilities.empty())
      parameters.capabilities = KernelCapabilities{.add = without_prefix(in.linux_parameters->add_capabilities),
                                                   .drop = without_prefix(in.linux_parameters->drop_capabilities)};
    out.linuxParameters = parameters;
  }
  return out;
}

Result<model::Volume> from_wire(const Volume& in) {
  model::Volume out{.name = in.name.value_or("")};
  if (out.name.empty()) return error("ClientException", "Volume name should not be null or empty.");
  if (in.host) out.host_path = in.host->sourcePath.value_or("");
  if (const auto& docker = in.dockerVolumeConfiguration) {
    if (docker->driver.value_or("local") != "local")
      return error("ClientException", "Volume {}: the driver {} is not supported by Watari; use local.", out.name, *docker->driver);
    out.shared = docker->scope.value_or("task") == "shared";
    if (out.shared && !docker->autoprovision.value_or(false))
      return error("ClientException", "Volume {}: a shared volume needs autoprovision: true; Watari makes it on first use.", out.name);
  }
  if (!out.host_path.empty() && (out.shared || !out.host_path.starts_with("/")))
    return error("ClientException", "Volume {}: host.sourcePath is an absolute path, without dockerVolumeConfiguration.", out.name);
  return out;
}

Volume to_wire(const model::Volume& in) {
  Volume out{.name = in.name};
  if (in.shared) out.dockerVolumeConfiguration = DockerVolumeConfiguration{.scope = "shared", .autoprovision = true, .driver = "local"};
  else out.host = HostVolumeProperties{.sourcePath = in.host_path.empty() ? std::nullopt : std::optional(in.host_path)};
  return out;
}

Result<void> check_together(const model::TaskDefinition& definition) {
  std::set<std::string> names, volumes;
  for (const auto& volume : definition.volumes)
    if (!volumes.insert(volume.name).second) return error("ClientException", "Duplicate volume name: {}.", volume.name);
  bool essential = false;
  for (const auto& container : definition.containers) {
    if (!names.insert(container.name).second) return error("ClientException", "Duplicate container name: {}.", container.name);
    essential |= container.essential;
    for (const auto& mount : container.mounts)
      if (!volumes.contains(mount.source_volume))
        return error("ClientException", "Unknown volume '{}' in container {}.", mount.source_volume, container.name);
  }
  if (!essential) return error("ClientException", "At least one container must be essential: true.");

  // A container may depend only on what can be started before it: peel off whatever waits for nothing that is left.
  std::set<std::string> startable;
  for (bool progress = true; progress;) {
    progress = false;
    for (const auto& container : definition.containers) {
      auto ready = [&](const model::Dependency& dependency) { return startable.contains(dependency.container); };
      if (!startable.contains(container.name) && std::ranges::all_of(container.depends_on, ready))
        progress = startable.insert(container.name).second;
    }
  }
  for (const auto& container : definition.containers) {
    for (const auto& dependency : container.depends_on) {
      auto other = std::ranges::find(definition.containers, dependency.container, &model::ContainerDefinition::name);
      if (other == definition.containers.end())
        return error("ClientException", "Container {} depends on {}, which is not in this task definition.", container.name,
                     dependency.container);
      if (dependency.condition == model::DependencyCondition::Healthy && !other->health_check)
        return error("ClientException", "Container {} waits for {} to be HEALTHY, but {} has no healthCheck.", container.name,
                     other->name, other->name);
      bool completes = dependency.condition == model::DependencyCondition::Complete ||
                       dependency.condition == model::DependencyCondition::Success;
      if (completes && other->essential)
        return error("ClientException", "Container {} waits for {} to end, but {} is essential: its end would end the task.",
                     container.name, other->name, other->name);
    }
    if (!startable.contains(container.name)) return error("ClientException", "Circular dependency at container {}.", container.name);
  }
  return {};
}

}  // namespace watari::aws::ecs
