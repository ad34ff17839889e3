#include "control/launch.h"

#include <algorithm>

#include "base/strings.h"
#include "model/logs.h"

namespace watari::control {
namespace {

// "256", "1024", ".25 vCPU", "1 vCPU" -> units; "512", "1 GB", "0.5GB" -> MiB.
std::optional<std::int64_t> quantity(std::string_view text, std::string_view unit, double factor) {
  auto lower = to_lower(trim(text));
  if (lower.empty()) return std::nullopt;
  double scale = 1;
  if (lower.ends_with(unit)) {
    lower.resize(lower.size() - unit.size());
    scale = factor;
  }
  auto number = parse_number<double>(trim(lower));
  return number ? std::optional(static_cast<std::int64_t>(*number * scale)) : std::nullopt;
}

void apply_override(model::ContainerDefinition& container, const model::ContainerOverride& override) {
  if (override.command) container.command = *override.command;
  for (const auto& [name, value] : override.environment) container.environment[name] = value;
  if (override.cpu) container.cpu = *override.cpu;
  if (override.memory_mib) container.memory_mib = override.memory_mib;
  if (override.memory_reservation_mib) container.memory_reservation_mib = override.memory_reservation_mib;
}

}  // namespace

std::filesystem::path log_directory(const std::filesystem::path& root, const model::Task& task,
                                    const model::ContainerDefinition& container) {
  auto place = model::log_place(task, container);
  return root / "logs" / task.scope.account / percent_encode(place.region) / percent_encode(place.group) / percent_encode(place.stream);
}

Reservation reserved_by(const model::TaskDefinition& definition) {
  Reservation sum;
  for (const auto& container : definition.containers) {
    sum.cpu_units += container.cpu;
    sum.memory_mib += container.memory_reservation_mib.value_or(container.memory_mib.value_or(0));
  }
  return {quantity(definition.cpu, "vcpu", 1024).value_or(sum.cpu_units), quantity(definition.memory, "gb", 1024).value_or(sum.memory_mib)};
}

Result<engine::TaskSpec> make_spec(Control& control, const Ports& ports, const model::Task& task) {
  auto& state = control.state();
  auto* definition = state.task_definitions.find(task_definition_key(task.scope, task.family, task.revision));
  if (!definition) return fail(Code::NotFound, "The task definition {}:{} does not exist any more.", task.family, task.revision);
  auto* vpc = state.vpcs.find(network_key(task.scope, task.vpc));
  if (!vpc) return fail(Code::NotFound, "The VPC {} of the task does not exist any more.", task.vpc);

  engine::TaskSpec spec;
  spec.id = task.id;
  spec.volumes = definition->volumes;
  spec.volume_scope = task.scope.key();
  // The default VPC is the one with an internet gateway.
  spec.network = {task.vpc, vpc->cidr, task.address, task.mac, task.public_ip && vpc->is_default};
  // A task of no namespace resolves what its cluster's own has: migrations, for instance, which no service starts.
  auto* service = task.service.empty() ? nullptr : state.services.find(service_key(task.scope, task.cluster, task.service));
  bool named = service && !service->target.names_namespace.empty();
  spec.names_namespace = named ? service->target.names_namespace : task.cluster;
  spec.hostname = "ip-" + task.address;
  std::ranges::replace(spec.hostname, '.', '-');
  spec.cpu_units = quantity(definition->cpu, "vcpu", 1024);
  spec.memory_mib = quantity(definition->memory, "gb", 1024);
  spec.labels = {{"cluster", task.cluster}, {"service", task.service}, {"family", task.family},
                 {"revision", std::to_string(task.revision)}};
  for (const auto& written : definition->containers) {
    engine::ContainerSpec container;
    container.definition = written;
    for (const auto& override : task.overrides)
      if (override.name == written.name) apply_override(container.definition, override);
    if (auto pinned = task.pinned_images.find(written.name); pinned != task.pinned_images.end())
      container.image_digest = pinned->second;
    container.log_directory = log_directory(control.options().root, task, written);
    for (const auto& secret : written.secrets) {
      auto value = ports.secret ? ports.secret(task.scope, secret.value_from)
                                : fail(Code::Unavailable, "this server runs without a vault");
      if (!value)
        return fail(value.error().within(fmt::format(
            "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret {} for the variable {} "
            "of container {}",
            secret.value_from, secret.name, written.name)));
      container.secrets[secret.name] = *value;
    }
    spec.containers.push_back(std::move(container));
  }
  return spec;
}

}  // namespace watari::control
