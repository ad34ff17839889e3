#include "balancer/haproxy.h"

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "balancer/ports.h"
#include "base/log.h"
#include "base/strings.h"

namespace watari::balancer {

Haproxy::Haproxy(const Options& options, AccessLogSink sink)
    : options_(options), addresses_(bind_addresses(options.address)), sockets_(addresses_), keeper_(options.run_directory, options.haproxy), sink_(std::move(sink)) {}

void Haproxy::adopt() {
  // Until all is taken over the former daemon's keeper stands by: a HAProxy that is killed meanwhile comes again, with its targets.
  take_over();
  // One that is being killed right now: the keeper is to know it before it is ended.
  if (process_ && wanted_.tables.empty()) (void)process_->ended(Millis(500));
  keeper_.end_former([this](int keeper) {
    if (sockets_.ports().empty()) sockets_.adopt(keeper);  // with the last of them gone, connections would be refused
  });
  if (!running()) take_over();  // what the keeper had begun to start
}

void Haproxy::take_over() {
  auto found = Process::find(options_.run_directory);
  number_ = Process::last_number(options_.run_directory);
  // The former daemon may have been killed while a process was starting: let it come up, or it would listen unseen.
  auto limit = Steady::now() + std::chrono::seconds(2);
  auto starting = [&] {
    if (!found.empty() && found.back()->number() == number_) return found.back()->generation().empty();
    return number_ > 0 && !std::filesystem::exists(fmt::format("{}/haproxy-{}.pid", options_.run_directory, number_));
  };
  while (starting() && Steady::now() < limit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    found = Process::find(options_.run_directory);
  }
  while (!found.empty() && found.back()->generation().empty()) {
    // One that is being killed leaves its files to the keeper, one that began but never answered is of no use to anybody.
    if (!found.back()->ended(Millis(500))) found.back()->terminate();
    found.pop_back();
  }
  if (found.empty()) return;
  process_ = std::move(found.back());
  found.pop_back();
  sockets_.adopt(process_->pidfd());
  wanted_.tables.clear();
  splits_.clear();
  shortcuts_.clear();
  taken_.clear();
  auto adopt_counts = [this](const Process& process) {
    auto stats = parse_stat(process.command("show stat -1 6 -1").value_or(""));
    counting_.adopt(process.number(), stats);
    std::vector<std::string> failed;
    for (const auto& stat : stats)
      if (stat.server == "BACKEND" && stat.responses[5] > 0) failed.push_back(stat.backend);
    counting_.adopt_errors(process.number(), errors_of(process, failed));
    if (auto log = RequestLog::open(options_.run_directory, process.number())) logs_.emplace(process.number(), std::move(*log));
  };
  adopt_counts(*process_);
  for (auto& old : found) {
    if (std::ranges::any_of(replaced_, [&](const auto& known) { return known->number() == old->number(); })) continue;
    adopt_counts(*old);
    retire(std::move(old));
  }
  generation_ = process_->generation();
  auto stats = parse_stat(process_->command("show stat -1 6 -1").value_or(""));
  for (const auto& stat : stats) {  // of each backend, all sN come before all oN
    if (auto dash = stat.server.find('-'); stat.backend == kShortcuts && dash != std::string::npos) {
      auto rule = stat.server.substr(0, dash), backend = stat.server.substr(dash + 1);
      shortcuts_[rule].insert(backend);
      if (!stat.status.starts_with("MAINT")) taken_[rule] = backend;
    }
    bool open = stat.server.starts_with("o");
    if (!open && !stat.server.starts_with("s")) continue;
    auto index = parse_number<std::size_t>(stat.server.substr(1)).value_or(0);
    if (index == 0) continue;
    auto& slots = wanted_.tables[stat.backend].slots;
    if (slots.size() < index) slots.resize(index);
    if (open) {
      slots[index - 1].settled |= !slots[index - 1].free() && stat.status == "no check";
      continue;
    }
    if (stat.status.starts_with("MAINT")) continue;
    auto& slot = slots[index - 1];
    slot.address = stat.address;
    slot.draining = stat.status.starts_with("DRAIN");
    slot.up = slot.draining || stat.status.starts_with("UP");
    slot.ever_healthy = slot.settled = slot.up;
  }
  for (const auto& file : std::filesystem::directory_iterator(options_.run_directory)) {
    auto name = file.path().filename().string();
    if (!name.starts_with("split-") || !name.ends_with(".map")) continue;
    std::vector<std::pair<std::string, std::string>> entries;
    for (const auto& line : split(process_->command("show map " + file.path().string()).value_or(""), '\n'))
      if (auto words = split(line, ' '); words.size() == 3) entries.emplace_back(words[1], words[2]);
    if (!entries.empty()) splits_[name.substr(6, name.size() - 10)] = split_of_map(entries);
  }
  // A daemon that was killed between the map and the shortcut: as if neither had been changed.
  for (const auto& [rule, backends] : shortcuts_)
    if (auto taken = taken_.find(rule); taken == taken_.end() || splits_[rule] != taken->second) splits_.erase(rule);
  strays_ = true;
  log::info("load balancer: adopted HAProxy with {} backends", wanted_.tables.size());
}

CompileOptions Haproxy::examine(const Snapshot& snapshot) {
  CompileOptions options{.run_directory = options_.run_directory, .addresses = addresses_};
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max != RLIM_INFINITY) options.descriptors = limit.rlim_max;
  std::set<std::string> complaints;
  for (const auto& [vpc, name] : snapshot.namespace_of_vpc) {
    if (name.empty()) continue;
    // One that was removed and made again counts as another one: HAProxy keeps the old one open.
    auto identity = identity_of_namespace(name);
    if (identity.empty()) continue;
    options.namespaces[vpc] = identity;
    auto& place = inside_[identity];
    if (place.empty()) place = place_inside(identity);
    if (!place.empty()) options.inside[vpc] = place;
  }
  bool held = !wanted_.generation.empty() && wanted_.taken_with.closed_ports.empty() && snapshot.listeners.same(wanted_.taken.listeners);
  for (const auto& [arn, listener] : held ? SharedMap<model::Listener>() : snapshot.listeners) {
    if (sockets_.holds(listener.port)) continue;
    if (options.closed_ports.contains(listener.port)) continue;
    if (auto free = port_is_free(addresses_, listener.port); !free) {
      options.closed_ports.insert(listener.port);
      complaints.insert(free.error().message);
    }
  }
  for (const auto& complaint : complaints)
    if (!complaints_.contains(complaint)) log::error("load balancer: {}", complaint);
  complaints_ = std::move(complaints);
  incomplete_ = !options.closed_ports.empty() || options.namespaces.size() < snapshot.namespace_of_vpc.size();
  return options;
}

Result<void> Haproxy::order(const std::string& commands) {
  TRY(auto answer, process_->command(commands));
  for (const char* bad : {"No such", "ersion number", "nvalid", "nknown", "expects", "equire", "denied", "rror"})
    if (answer.contains(bad)) return fail(Code::Internal, "HAProxy answered {} to {}", trim(answer), commands);
  return {};
}

Result<void> Haproxy::write_split(const std::string& rule, const std::string& split_text) const {
  std::string text;
  for (const auto& [range, name] : map_of_split(split_text)) text += range + " " + name + "\n";
  return write_file(map_file({.run_directory = options_.run_directory}, rule), text);
}

Result<void> Haproxy::order_all(const std::vector<std::string>& commands) {
  for (const auto& batch : batches(commands)) TRY_VOID(order(batch));
  return {};
}

// HAProxy counts the versions of a map: what it answered once need not be asked again.
Result<unsigned> Haproxy::next_version(const std::string& rule, const std::string& map, std::string& commands) {
  if (auto known = versions_.find(rule); known != versions_.end()) {
    commands = "prepare map " + map + "; ";
    return ++known->second;
  }
  TRY(auto prepared, process_->command("prepare map " + map));
  auto colon = prepared.rfind(':');
  auto version = parse_number<unsigned>(trim(prepared.substr(colon == std::string::npos ? prepared.size() : colon + 1)));
  if (!version) return fail(Code::Internal, "HAProxy answered {} to prepare map {}", trim(prepared), map);
  return versions_[rule] = *version;
}

std::string Haproxy::take_shortcut(const std::string& rule, const std::string& split_text) {
  auto offered = shortcuts_.find(rule);
  if (offered == shortcuts_.end()) return "";
  auto taken = taken_.find(rule);
  std::string commands;
  if (taken != taken_.end()) {
    if (taken->second == split_text) return "";
    commands = fmt::format("; set server {}/{} state maint", kShortcuts, shortcut_name(rule, taken->second));
    taken_.erase(taken);
  }
  if (offered->second.contains(split_text)) {
    commands += fmt::format("; set server {}/{} state ready", kShortcuts, shortcut_name(rule, split_text));
    taken_[rule] = split_text;
  }
  return commands;
}

// All of a rule's ranges at once: a request sees the old ones or the new ones.
Result<void> Haproxy::change_splits() {
  std::vector<std::string> commits;
  for (const auto& rule : wanted_.unsent) {
    const auto& text = wanted_.plan.splits.at(rule);
    if (auto sent = splits_.find(rule); sent != splits_.end() && sent->second == text) continue;
    TRY_VOID(write_split(rule, text));  // first: a HAProxy that dies now starts with it
    auto map = map_file({.run_directory = options_.run_directory}, rule);
    std::string commands;
    TRY(auto version, next_version(rule, map, commands));
    for (const auto& [range, name] : map_of_split(text)) commands += fmt::format("add map @{} {} {} {}; ", version, map, range, name);
    // The shortcut last: the moment in which it is left or taken is that of the change.
    commits.push_back(commands + fmt::format("commit map @{} {}", version, map) + take_shortcut(rule, text));
    splits_[rule] = text;
  }
  TRY_VOID(order_all(commits));
  wanted_.unsent.clear();
  return {};
}

void Haproxy::retire(std::unique_ptr<Process> process) {
  auto file = fmt::format("{}/haproxy-{}.cfg", options_.run_directory, process->number());
  if (auto done = process->retire(ports_of(read_file(file).value_or(""))); !done) log::warn("load balancer: {}", done.error().message);
  replaced_.push_back(std::move(process));
}

void Haproxy::sweep() {
  std::erase_if(replaced_, [this](const auto& process) {
    if (!process->idle()) return false;
    counting_.take(process->number(), parse_stat(process->command("show stat -1 6 -1").value_or("")));
    counting_.take_errors(process->number(), errors_of(*process, counting_.untold()));
    process->terminate();
    return true;
  });
}

void Haproxy::provide() {
  if (!running() || generation_ != wanted_.generation) return;
  if (!keeper_.stands_by(number_)) {
    auto sockets = sockets_.inherited(wanted_.plan.listening);
    if (auto log = logs_.find(number_); log != logs_.end()) sockets.emplace_back(kRequestLogVariable, log->second.fd());
    auto stands_by = keeper_.stand_by(number_, process_->pidfd(), sockets);
    if (!stands_by && !complaints_.contains(stands_by.error().message)) {
      log::warn("load balancer: nobody starts HAProxy again while this server is down: {}", stands_by.error().message);
      complaints_.insert(stands_by.error().message);
    }
  }
  auto began = Steady::now();
  if (provided_ || began < provide_again_) return;
  auto write = [this]() -> Result<void> {
    TRY_VOID(write_file(options_.run_directory + "/servers.state", render_states(wanted_.plan, wanted_.tables)));
    return write_file(fmt::format("{}/haproxy-{}.now", options_.run_directory, number_), render(wanted_.plan, wanted_.tables, wanted_.generation, options_.run_directory, number_));
  };
  provided_ = write().has_value();
  provide_again_ = Steady::now() + 20 * (Steady::now() - began);  // thousands of targets take a while
}

void Haproxy::stop(std::chrono::milliseconds limit) {
  keeper_.end();
  sockets_.keep({});
  if (process_) retire(std::move(process_));
  for (auto end = Steady::now() + limit; !replaced_.empty() && Steady::now() < end;
       std::this_thread::sleep_for(std::chrono::milliseconds(20)))
    sweep();
  for (auto& process : replaced_) process->terminate();
  replaced_.clear();
  // Sockets, maps and bodies: the directory holds nothing else.
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options_.run_directory, error)) {
    std::error_code ignored;
    std::filesystem::remove(entry.path(), ignored);
  }
  splits_.clear();
  generation_.clear();
  wanted_.generation.clear();
  logs_.clear();
}

// Maps, bodies and certificates that the configuration no longer names; a process that is being replaced has read them long ago.
void Haproxy::remove_stale_files() const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options_.run_directory, error)) {
    auto name = entry.path().filename().string();
    bool split = name.starts_with("split-") && name.ends_with(".map");
    bool stale = split ? !wanted_.plan.splits.contains(name.substr(6, name.size() - 10))
                       : (name.starts_with("body-") || name.starts_with("certificate")) && !wanted_.plan.files.contains(name);
    std::error_code ignored;
    if (stale) std::filesystem::remove(entry.path(), ignored);
  }
}

Result<void> Haproxy::reload() {
  const auto& plan = wanted_.plan;
  auto began = Steady::now() - std::chrono::seconds(1);
  if (running()) take_states(parse_stat(process_->command("show stat -1 4 -1 no-maint").value_or("")));
  for (const auto& [name, content] : plan.files) TRY_VOID(write_file(options_.run_directory + "/" + name, content));
  for (const auto& [rule, split_text] : plan.splits) {
    auto before = splits_.find(rule);
    if (before == splits_.end() || before->second != split_text) TRY_VOID(write_split(rule, split_text));
  }
  TRY_VOID(write_file(options_.run_directory + "/servers.state", render_states(plan, wanted_.tables)));
  auto number = number_ + 1;
  auto configuration = render(plan, wanted_.tables, wanted_.generation, options_.run_directory, number);
  bool again = running();
  if (process_ && !again) process_->remove_files();
  TRY_VOID(sockets_.open(plan.listening));
  TRY(auto log, RequestLog::open(options_.run_directory, number));
  auto inherited = sockets_.inherited(plan.listening);
  inherited.emplace_back(kRequestLogVariable, log.fd());
  TRY(auto next, Process::start(options_.run_directory, options_.haproxy, number, configuration, inherited));
  logs_.insert_or_assign(number, std::move(log));
  sockets_.keep(plan.listening);
  if (again) retire(std::move(process_));
  // Until now the old process chose among the old targets.
  for (auto& [name, table] : wanted_.tables)
    for (auto& slot : table.slots)
      if (slot.drained > began) slot.drained = Steady::now();
  counting_.take(number, {});  // from zero
  process_ = std::move(next);
  number_ = number;
  generation_ = wanted_.generation;
  provided_ = true;  // it begins with that
  splits_ = plan.splits;
  shortcuts_ = plan.shortcuts;
  taken_.clear();
  for (const auto& [rule, backends] : shortcuts_)
    if (const auto& whole = splits_.at(rule); backends.contains(whole)) taken_[rule] = whole;
  wanted_.unsent.clear();
  versions_.clear();
  remove_stale_files();
  log::info("load balancer: HAProxy {} with {} ports and {} target groups", again ? "reloaded" : "started", plan.ports.size(),
            plan.backends.size());
  return {};
}

Result<void> Haproxy::reconcile(const Snapshot& snapshot) {
  if (snapshot.listeners.empty()) {
    stop(std::chrono::seconds(5));
    wanted_.tables.clear();
    return {};
  }
  auto commands = wanted_.take(snapshot, examine(snapshot));
  if (wanted_.compiled) access_log_.know(snapshot);
  auto carry_out = [&]() -> Result<void> {
    if (!running() || generation_ != wanted_.generation) return reload();
    provided_ = provided_ && commands.empty();
    TRY_VOID(order_all(commands));
    return change_splits();
  };
  auto done = carry_out();
  // Half done is repaired by a reload, which carries everything.
  if (!done) generation_.clear();
  overdue_.insert(wanted_.overdue.begin(), wanted_.overdue.end());
  wanted_.overdue.clear();
  return done;
}

}  // namespace watari::balancer
