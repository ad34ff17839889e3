// What the world is told after each evaluation: always after the commit, always the whole, and harmless to repeat.
#include <algorithm>

#include "base/log.h"
#include "control/evaluation.h"
#include "control/launch.h"
#include "control/network.h"
#include "model/cidr.h"
#include "plan/reconcile.h"

namespace watari::control {

using model::TaskState;

// Security before tasks, so that none runs unguarded; the balancer before stops, so that none is stopped with traffic.
void Control::Evaluation::carry_out() {
  tell_security();
  tell_names();
  tell_balancer();
  tell_engine();
  call_hooks();
}

std::string Control::Evaluation::vpc_namespace(const std::string& vpc) {
  if (auto found = namespaces.find(vpc); found != namespaces.end()) return found->second;
  std::string cidr;
  control.state().vpcs.each("", [&](const std::string&, const model::Vpc& candidate) {
    if (candidate.id == vpc) cidr = candidate.cidr;
  });
  if (cidr.empty()) return "";
  auto name = control.ports_.engine->vpc_namespace(vpc, cidr);
  if (!name) {
    log::error("VPC {}: {}", vpc, name.error().message);
    wake_at(control.now() + Seconds(5));
    return "";
  }
  return namespaces[vpc] = *name;
}

// With chain and key in one text, as HAProxy reads them.
void Control::Evaluation::add_certificate(const std::string& arn) {
  const auto* certificate = control.state().certificates.find(arn);
  if (!certificate || balancing.certificates.contains(arn)) return;
  auto key = control.ports_.unseal ? control.ports_.unseal(certificate->sealed_key, arn) : fail(Code::Unavailable, "there is no vault");
  if (!key) {
    log::error("certificate {}: {}", arn, key.error().message);
    certificates_told = {};  // tried again next time
    return;
  }
  auto line = [](const std::string& pem) { return pem.empty() || pem.ends_with('\n') ? pem : pem + "\n"; };
  balancing.certificates.put(arn, {.pem = line(certificate->body) + line(certificate->chain) + line(*key), .names = certificate->facts.names});
}

void Control::Evaluation::add_namespace(const std::string& vpc) {
  if (vpc.empty() || balancing.namespace_of_vpc.contains(vpc)) return;
  auto name = vpc_namespace(vpc);
  if (name.empty()) namespaces_told = false;  // likewise
  else balancing.namespace_of_vpc[vpc] = name;
}

void Control::Evaluation::tell_balancer() {
  auto version = balancing_version();
  if (!control.ports_.balancer) {
    // Without load balancers there is nothing to wait for.
    balancing_told = version;
    return;
  }
  if (balancing_told && *balancing_told == version) {
    if (flushed == applied && control.now() < flushed_at + Seconds(2)) wake_at(flushed_at + Seconds(2));
    return;
  }
  auto& state = control.state();
  auto& snapshot = balancing;
  bool same_certificates = snapshot.listeners.same(state.listeners.rows()) && certificates_told.same(state.certificates.rows());
  bool same_namespaces = namespaces_told && snapshot.load_balancers.same(state.load_balancers.rows()) && snapshot.target_groups.same(state.target_groups.rows());
  snapshot.load_balancers = state.load_balancers.rows();
  snapshot.listeners = state.listeners.rows();
  snapshot.rules = state.rules.rows();
  snapshot.target_groups = state.target_groups.rows();
  snapshot.targets = state.targets.rows();
  if (!same_certificates) {
    certificates_told = state.certificates.rows();
    snapshot.certificates = {};
    for (const auto& [key, listener] : snapshot.listeners)
      for (const auto& arn : listener.certificates) add_certificate(arn);
  }
  if (!same_namespaces) {
    namespaces_told = true;
    snapshot.namespace_of_vpc.clear();
    for (const auto& [key, balancer] : snapshot.load_balancers) add_namespace(balancer.vpc);
    for (const auto& [key, group] : snapshot.target_groups) add_namespace(group.vpc);
  }
  balancing_told = version;
  auto count = ++applied;
  control.ports_.balancer->apply(snapshot);
  control.ports_.balancer->flush([this, count] {
    control.scheduler_.post([this, count] {
      flushed = std::max(flushed, count);
      flushed_at = control.now();
      control.schedule();
    });
  });
}

// Every VPC that has tasks or load balancers.
void Control::Evaluation::tell_security() {
  auto& state = control.state();
  auto version = state.security_groups.version() + state.network_interfaces.version() + state.load_balancers.version() +
                 state.vpcs.version();
  if (security_told && *security_told == version) return;
  std::set<std::string> used;
  state.network_interfaces.each("", [&](const std::string&, const model::NetworkInterface& entry) { used.insert(entry.vpc); });
  state.load_balancers.each("", [&](const std::string&, const model::LoadBalancer& entry) { used.insert(entry.vpc); });
  bool all = true;
  state.vpcs.each("", [&](const std::string&, const model::Vpc& vpc) {
    if (!used.contains(vpc.id) && !namespaces.contains(vpc.id)) return;
    if (vpc_namespace(vpc.id).empty()) {
      all = false;
      return;
    }
    auto security = security_of(state, vpc);
    control.ports_.engine->set_security(vpc.id, security.groups, security.groups_of_address);
  });
  if (all) security_told = version;
}

// Service Connect: each alias of a service resolves to its healthy tasks, for the tasks of its namespace. When none is healthy, to those that
// once were. A load balancer's name resolves for all tasks of its VPC, to the node address: HAProxy listens there, too.
void Control::Evaluation::tell_names() {
  struct Addresses {
    std::vector<std::string> healthy, others;
  };
  auto& state = control.state();
  std::map<std::pair<std::string, std::string>, std::map<std::string, Addresses>> found;  // (VPC, namespace) -> name
  auto tasks = tasks_by_service();
  state.services.each("", [&](const std::string& key, const model::Service& service) {
    if (service.target.names.empty() || !tasks.contains(key)) return;
    auto snapshot = snapshot_of(service, tasks[key]);
    for (const auto* task : tasks[key]) {
      if (task->desired_stopped || task->status.state != TaskState::Running || !task->healthy_at) continue;
      bool healthy = plan::judge(snapshot, *task).fitness == plan::Fitness::Healthy;
      for (const auto& name : service.target.names) {
        auto& addresses = found[{task->vpc, service.target.names_namespace}][name.dns_name];
        (healthy ? addresses.healthy : addresses.others).push_back(task->address);
      }
    }
  });
  std::set<std::string> spaces;  // of tasks without one, the cluster (launch.cc)
  state.tasks.each("", [&](const std::string&, const model::Task& task) { spaces.insert(task.cluster); });
  state.services.each("", [&](const std::string&, const model::Service& service) { spaces.insert(service.target.names_namespace); });
  state.vpcs.each("", [&](const std::string&, const model::Vpc& vpc) {
    auto range = model::parse_cidr(vpc.cidr);
    state.load_balancers.each("", [&](const std::string&, const model::LoadBalancer& balancer) {
      if (balancer.vpc != vpc.id || !range) return;
      for (const auto& space : spaces) found[{vpc.id, space}][balancer.dns_name].healthy = {model::ipv4_text(range->base + 1)};
    });
  });
  for (const auto& [place, names] : names_told) found.try_emplace(place);
  for (auto& [place, by_name] : found) {
    std::map<std::string, std::vector<std::string>> names;
    for (auto& [name, addresses] : by_name) {
      auto& chosen = addresses.healthy.empty() ? addresses.others : addresses.healthy;
      std::ranges::sort(chosen);
      names[name] = chosen;
    }
    if (auto told = names_told.find(place); told != names_told.end() && told->second == names) continue;
    control.ports_.engine->set_names(place.first, place.second, names);
    names_told[place] = std::move(names);
  }
}

void Control::Evaluation::tell_engine() {
  auto& state = control.state();
  auto& engine = *control.ports_.engine;
  std::optional<std::set<std::string>> registered;  // addresses that are still in a target group
  auto is_registered = [&](const std::string& address) {
    if (!registered) {
      registered.emplace();
      state.targets.each("", [&](const std::string&, const model::Target& target) { registered->insert(target.address); });
    }
    return registered->contains(address);
  };
  std::vector<model::Task> to_launch;
  state.tasks.each("", [&](const std::string&, const model::Task& task) {
    if (task.forgotten) return;
    if (task.status.state == TaskState::Stopped) {
      if (forgotten.insert(task.id).second) {
        engine.forget(task.id);
        control.schedule();  // the next evaluation writes that down
      }
    } else if (task.desired_stopped) {
      bool in_group = !task.service.empty() && is_registered(task.address);
      bool named = task.drain_until && control.now() < *task.drain_until;
      if (named) wake_at(*task.drain_until);
      if (!in_group && !named && stopping.insert(task.id).second) engine.stop(task.id, task.stop_code, task.stop_reason);
    } else if (task.status.state == TaskState::Provisioning && !known.contains(task.id)) {
      to_launch.push_back(task);
    }
  });
  for (const auto& task : to_launch) launch(task);
}

void Control::Evaluation::launch(const model::Task& task) {
  known.insert(task.id);
  auto spec = make_spec(control, control.ports_, task);
  if (spec) {
    control.ports_.engine->run(std::move(*spec));
    return;
  }
  log::warn("task {}: {}", task.id, spec.error().message);
  auto failed = task.status;
  failed.task = task.id;
  failed.state = TaskState::Stopped;
  failed.stop_code = "TaskFailedToStart";
  failed.stop_reason = spec.error().message;
  failed.stopped_at = control.now();
  inbox.push_back(std::move(failed));
  control.schedule();
}

}  // namespace watari::control
