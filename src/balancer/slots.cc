#include "balancer/slots.h"

#include <algorithm>

#include "balancer/compiler.h"
#include "base/digest.h"

namespace watari::balancer {

namespace {

// Requests that were not answered, in ALB's words. 503: nowhere to go; 502: a target broke off; 504: it took too long.
constexpr std::string_view kErrors[] = {"400 Bad Request", "408 Request Timeout", "500 Internal Server Error",
                                        "502 Bad Gateway", "503 Service Temporarily Unavailable", "504 Gateway Time-out"};

// How many clients may be connected: two descriptors each, beside the sockets that listen and those of probes. HAProxy's own estimate takes
// one for every server line, spare ones included: where there are thousands it would serve no more than 100 clients at a time.
std::uint64_t connections_for(const Plan& plan, std::size_t slots) {
  auto others = plan.listening.size() + plan.ports.size() + std::min<std::uint64_t>(slots, plan.descriptors / 4) + 256;
  return std::max<std::uint64_t>(100, plan.descriptors > others ? (plan.descriptors - others) / 2 : 0);
}

std::string global_section(const std::string& generation, const std::string& run_directory, int number, const std::string& limit) {
  return fmt::format(
      "global\n"
      "  description {0}\n"
      "  stats socket {1}/admin-{2}.sock mode 600 level admin expose-fd listeners\n"
      "  stats timeout 1h\n"
      "  server-state-file {1}/servers.state\n"
      // Otherwise the first probes after a reload are spread over the shortest interval of the group.
      "  max-spread-checks 50\n{3}"
      // Where descriptors are scarce: serve with fewer connections than a server each would take, rather than not at all.
      "  no strict-limits\n"
      "  tune.ssl.default-dh-param 2048\n"
      "  tune.h2.max-concurrent-streams 128\n\n",
      generation, run_directory, number, limit);
}

// Where the maps of all splits are named first. HAProxy finds a map by name in a list of all maps and all literal patterns, in the order of
// the configuration, for each command and for each place that uses it: at its head, a change of weights and a reload do not
// grow with the patterns.
std::string splits_section(const Plan& plan, const std::string& run_directory) {
  std::string out = "backend splits\n";
  for (const auto& [rule, split] : plan.splits)
    out += "  http-request set-var(req.none) int(0),map_int(" + map_file({.run_directory = run_directory}, rule) + ",none)\n";
  return out + "\n";
}

std::string defaults_section() {
  std::string out =
      "defaults\n"
      "  mode http\n"
      "  load-server-state-from-file global\n"
      "  timeout connect " + std::to_string(kConnectTimeout.count()) + "ms\n"
      "  timeout client 60s\n"
      "  timeout server 60s\n"
      // Requests that are timed (frontend.cc) or logged; request_log.h says why a file.
      "  log \"fd@${REQUEST_LOG}\" len 8192 format raw local0\n"
      "  option redispatch 1\n"
      "  retries 3\n";
  for (auto error : kErrors)
    out += fmt::format("  http-error status {} content-type text/html hdr Server awselb/2.0 string '{}'\n", error.substr(0, 3), error_page(error));
  return out + "\n";
}

std::string frontends_with_shortcuts(const Plan& plan) {
  std::string out, servers;
  std::size_t done = 0;
  auto mark_begins = shortcut_mark("");
  mark_begins.pop_back();
  for (std::size_t at = 0; (at = plan.frontends.find(mark_begins, at)) != std::string::npos;) {
    auto end = plan.frontends.find('\n', at) + 1;
    auto rule = plan.frontends.substr(at + mark_begins.size(), end - 1 - at - mark_begins.size());
    out += std::string_view(plan.frontends).substr(done, end - done);
    at = done = end;
    auto backends = plan.shortcuts.find(rule);
    if (backends == plan.shortcuts.end()) continue;
    for (const auto& backend : backends->second) {
      auto name = shortcut_name(rule, backend);
      out += fmt::format("  use_backend {} if {{ srv_is_up({}/{}) }}\n", backend, kShortcuts, name);
      servers += fmt::format("  server {} 127.0.0.1:1{}\n", name, plan.splits.at(rule) == backend ? "" : " disabled");
    }
  }
  out += std::string_view(plan.frontends).substr(done);
  return servers.empty() ? out : out + fmt::format("backend {}\n", kShortcuts) + servers + "\n";
}

std::string server_lines(const SlotTable& table, char kind, const std::string& options) {
  std::string out;
  for (std::size_t i = 0; i < table.slots.size(); ++i) {
    const auto& slot = table.slots[i];
    out += fmt::format("  server {}{} {}{}{}\n", kind, i + 1, slot.free() ? "127.0.0.1:1" : slot.address, options,
                       slot.free() ? " disabled" : "");
  }
  return out;
}

}  // namespace

Slot* SlotTable::find(const std::string& address) {
  auto found = std::ranges::find(slots, address, &Slot::address);
  return found == slots.end() ? nullptr : &*found;
}

int SlotTable::free_slot(Seconds quiet) const {
  int best = -1;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto& slot = slots[i];
    if (!slot.free()) continue;
    if (slot.freed != Steady::time_point{} && Steady::now() - slot.freed < quiet) continue;
    if (best < 0 || slot.freed < slots[static_cast<std::size_t>(best)].freed) best = static_cast<int>(i);
  }
  return best;
}

std::size_t slots_for(std::size_t targets) { return std::max<std::size_t>(8, (targets * 3 / 2 + 3) / 4 * 4); }

std::string render(const Plan& plan, const std::map<std::string, SlotTable>& tables, const std::string& generation,
                   const std::string& run_directory, int number) {
  std::size_t count = 0;
  for (const auto& [name, table] : tables) count += table.slots.size();
  auto limit = plan.descriptors == 0 ? "" : fmt::format("  maxconn {}\n", connections_for(plan, count));
  std::string out = "# Made by Watari from load balancers, listeners, rules and target groups; changes are overwritten.\n" +
                    global_section(generation, run_directory, number, limit) + defaults_section() + splits_section(plan, run_directory) +
                    // Shortcuts are no structure: the text that the generation is the digest of has none.
                    (generation.empty() ? plan.frontends : frontends_with_shortcuts(plan)) +
                    "backend none\n\n"
                    "backend nobody\n  http-request return status 404 content-type text/plain string \"no load balancer here has this name, a host-header rule for it, or a certificate\"\n\n"
                    "backend broken\n  mode tcp\n\n";
  for (const auto& backend : plan.backends) {
    auto table = tables.find(backend.name);
    const SlotTable& slots = table == tables.end() ? SlotTable{} : table->second;
    out += "backend " + backend.name + "\n" + backend.head + server_lines(slots, 's', backend.server + backend.checked) +
           server_lines(slots, 'o', backend.server + " backup" + backend.first) + "\n";
  }
  return out;
}

std::string render_states(const Plan& plan, const std::map<std::string, SlotTable>& tables) {
  constexpr int kDrain = 0x08, kMaintenance = 0x01, kChecked = 6, kUnchecked = 2;
  std::string out =
      "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
      "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state "
      "bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr "
      "srv_agent_port\n";
  auto line = [&](const Backend& backend, std::size_t id, const std::string& name, const Slot& slot, bool up, int admin, int health,
                  int check) {
    auto colon = slot.address.rfind(':');
    out += fmt::format("0 {} {} {} {} {} {} 1 1 1 {} {} {} {} 0 0 0 - {} - {} 0 - - 0\n", backend.name, id, name,
                       slot.address.substr(0, colon), up ? 2 : 0, admin, check == kChecked ? 6 : 1, check == kChecked ? 3 : 0, health, check,
                       slot.address.substr(colon + 1), backend.tls ? 1 : 0);
  };
  for (const auto& backend : plan.backends) {
    auto table = tables.find(backend.name);
    if (table == tables.end()) continue;
    for (std::size_t i = 0; i < table->second.slots.size(); ++i) {
      const auto& slot = table->second.slots[i];
      if (slot.free()) continue;
      int admin = slot.draining ? (backend.sticky ? kMaintenance : kDrain) : 0;
      line(backend, i + 1, fmt::format("s{}", i + 1), slot, slot.up, admin, slot.up ? backend.rise + backend.fall - 1 : 0, kChecked);
      line(backend, table->second.slots.size() + i + 1, fmt::format("o{}", i + 1), slot, slot.settled, admin,
           slot.settled, slot.settled ? kUnchecked : kChecked);
    }
  }
  return out;
}

std::string generation_of(const Plan& plan, const std::map<std::string, SlotTable>& tables, const std::string& run_directory) {
  std::map<std::string, SlotTable> empty;
  for (const auto& backend : plan.backends)
    if (auto table = tables.find(backend.name); table != tables.end())
      empty[backend.name].slots.resize(table->second.slots.size());
  return sha256_hex(render(plan, empty, "", run_directory, 0)).substr(0, 16);
}

}  // namespace watari::balancer
