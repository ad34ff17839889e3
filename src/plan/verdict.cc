#include "plan/verdict.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/result.h"
#include "plan/planner.h"

namespace watari::plan {
namespace {

constexpr double kFirstLook = 10, kGrowth = 1.25;
// Differences that are real but do not matter end no deployment.
constexpr double kWorseBy = 0.005, kTimesWorse = 1.5;
// Slow: takes longer than twice what 99 % of the old revision's requests took. That is hardly ever so for the old one.
constexpr std::int64_t kSlowRequests = 200;  // of both, before latency is judged
constexpr double kSlowShare = 0.02, kTooManySlow = 0.10;
constexpr Seconds kWarmUp{30};

double choose(double n, double k) { return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1); }

double share(std::int64_t part, std::int64_t all) { return all > 0 ? static_cast<double>(part) / static_cast<double>(all) : 0; }

// 1204 -> "1,204"
std::string thousands(std::int64_t number) {
  auto text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

std::int64_t sum(std::span<const std::int64_t> counts) {
  std::int64_t out = 0;
  for (auto count : counts) out += count;
  return out;
}

// The class that the slowest hundredth begins in.
std::size_t class_of_p99(const std::vector<std::int64_t>& counts) {
  auto wanted = 0.99 * static_cast<double>(sum(counts));
  double below = 0;
  for (std::size_t i = 0; i < counts.size(); ++i)
    if ((below += static_cast<double>(counts[i])) >= wanted) return i;
  return counts.size();
}

// Upper bound of a latency class in ms. The same as balancer::LatencyHistogram::kBounds.
double bound(std::size_t index) {
  double out = 0;
  for (std::size_t i = 0; i <= index; ++i) out = out < 8 ? out + 1 : out * 1.25;
  return out;
}

std::int64_t since(std::int64_t now, std::int64_t seen) { return now >= seen ? now - seen : now; }

void add(model::Traffic& traffic, const GroupCounts& counts) {
  traffic.requests += since(counts.requests, traffic.seen_requests);
  traffic.failures += since(counts.failures, traffic.seen_failures);
  traffic.seen_requests = counts.requests;
  traffic.seen_failures = counts.failures;
  traffic.latency.resize(counts.latency.size());
  traffic.seen_latency.resize(counts.latency.size());
  for (std::size_t i = 0; i < counts.latency.size(); ++i) {
    traffic.latency[i] += since(counts.latency[i], traffic.seen_latency[i]);
    traffic.seen_latency[i] = counts.latency[i];
  }
}

// Begins to count from here.
void count_from(model::Traffic& traffic, const GroupCounts& counts) {
  traffic = {.latency = std::vector<std::int64_t>(counts.latency.size()), .seen_requests = counts.requests,
             .seen_failures = counts.failures, .seen_latency = counts.latency};
}

}  // namespace

double fisher_tail(std::uint64_t requests, std::uint64_t failures, std::uint64_t old_requests, std::uint64_t old_failures) {
  auto n = static_cast<double>(requests), all = n + static_cast<double>(old_requests);
  auto failed = static_cast<double>(failures + old_failures);
  double tail = 0, last = std::min(n, failed);
  for (auto x = static_cast<double>(failures); x <= last; ++x) {
    if (n - x > all - failed) continue;
    double term = std::exp(choose(failed, x) + choose(all - failed, n - x) - choose(all, n));
    tail += term;
    if (term < tail * 1e-12) break;
  }
  return std::min(1.0, tail);
}

double binomial_tail(std::uint64_t n, std::uint64_t hits, double p) {
  double tail = 0;
  for (auto x = static_cast<double>(hits); x <= static_cast<double>(n); ++x) {
    double term = std::exp(choose(static_cast<double>(n), x) + x * std::log(p) + (static_cast<double>(n) - x) * std::log1p(-p));
    tail += term;
    if (term < tail * 1e-12) break;
  }
  return std::min(1.0, tail);
}

int look_at(std::uint64_t requests) {
  if (static_cast<double>(requests) < kFirstLook) return -1;
  return static_cast<int>(std::log(static_cast<double>(requests) / kFirstLook) / std::log(kGrowth) + 1e-9);
}

std::optional<std::string> failing(const model::Traffic& fresh, const model::Traffic& old) {
  auto worse = share(fresh.failures, fresh.requests), good = share(old.failures, old.requests);
  if (worse < good * kTimesWorse + kWorseBy) return std::nullopt;
  auto as = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
  if (fisher_tail(as(fresh.requests), as(fresh.failures), as(old.requests), as(old.failures)) > kRisk / 2 / kLooks) return std::nullopt;
  return fmt::format("{:.1f} % of {} requests to the new revision answered 5xx or not at all, {:.1f} % of {} to the old one", worse * 100,
                     thousands(fresh.requests), good * 100, thousands(old.requests));
}

std::optional<std::string> slow(const model::Traffic& fresh, const model::Traffic& old) {
  auto timed = sum(fresh.latency);
  if (timed < kSlowRequests || sum(old.latency) < kSlowRequests || fresh.latency.size() != old.latency.size()) return std::nullopt;
  auto usual = bound(class_of_p99(old.latency));
  auto limit = std::max(2 * usual, usual + 50);
  std::int64_t over = 0, old_over = 0;
  for (std::size_t i = 1; i < fresh.latency.size(); ++i) {
    if (bound(i - 1) < limit) continue;
    over += fresh.latency[i];
    old_over += old.latency[i];
  }
  auto much = share(over, timed);
  if (much < kTooManySlow) return std::nullopt;
  if (binomial_tail(static_cast<std::uint64_t>(timed), static_cast<std::uint64_t>(over), kSlowShare) > kRisk / 2 / kLooks) return std::nullopt;
  return fmt::format("{:.1f} % of {} requests to the new revision took longer than {:.0f} ms, {:.1f} % of {} to the old one", much * 100,
                     thousands(timed), limit, share(old_over, sum(old.latency)) * 100, thousands(sum(old.latency)));
}

// --- the planner's part ------------------------------------------------------------------------------------------------------

GroupCounts Planner::counts_of(const model::ServiceRevision& revision) const {
  GroupCounts out;
  for (const auto& group : revision.target_groups) {
    auto found = in_.counts.find(group);
    if (found == in_.counts.end()) continue;
    out.requests += found->second.requests;
    out.failures += found->second.failures;
    out.latency.resize(std::max(out.latency.size(), found->second.latency.size()));
    for (std::size_t i = 0; i < found->second.latency.size(); ++i) out.latency[i] += found->second.latency[i];
  }
  return out;
}

// The old revision counts from the deployment's begin on, and with what was known of it before, up to so many requests.
void Planner::begin_counting() {
  constexpr double kHistory = 2000;
  if (!deployment_->verdict.enabled || !deployment_->source || deployment_->configuration.strategy == model::Strategy::Rolling) return;
  auto counts = counts_of(*deployment_->source);
  auto& old = deployment_->verdict.source;
  count_from(old, counts);
  auto keep = std::min(1.0, kHistory / static_cast<double>(std::max<std::int64_t>(1, counts.requests)));
  auto part = [&](std::int64_t value) { return static_cast<std::int64_t>(std::llround(static_cast<double>(value) * keep)); };
  old.requests = part(counts.requests);
  old.failures = part(counts.failures);
  for (std::size_t i = 0; i < counts.latency.size(); ++i) old.latency[i] = part(counts.latency[i]);
  count_from(deployment_->verdict.target, counts_of(deployment_->target));
}

// While both have tasks and the new revision has traffic: read the counters, and look.
void Planner::check_verdict() {
  auto& verdict = deployment_->verdict;
  bool shifting = deployment_->stage >= model::Stage::ProductionTrafficShift && deployment_->stage <= model::Stage::BakeTime;
  if (!verdict.enabled || !deployment_->source || !shifting) return;
  constexpr Millis kEvery{1000};
  if (verdict.counted_at && in_.now < *verdict.counted_at + kEvery) return wake_at(*verdict.counted_at + kEvery);
  wake_at(in_.now + kEvery);
  auto fresh = counts_of(deployment_->target), old = counts_of(*deployment_->source);
  bool first = !verdict.counted_at;
  if (first) count_from(verdict.target, fresh);  // test traffic is not judged
  bool changed = first || fresh.requests != verdict.target.seen_requests || old.requests != verdict.source.seen_requests;
  if (!changed) return;
  verdict.counted_at = in_.now;
  deployment_changed_ = true;
  add(verdict.target, fresh);
  add(verdict.source, old);
  // The first requests of new processes are slow.
  if (!verdict.warmed_up && in_.now >= deployment_->weight_since + kWarmUp) {
    verdict.warmed_up = true;
    std::ranges::fill(verdict.target.latency, 0);
  }
  auto due = [](std::int64_t requests, int& looks) {
    int look = look_at(static_cast<std::uint64_t>(requests));
    bool now = look >= looks && looks < kLooks;
    if (now) looks = look + 1;
    return now;
  };
  std::optional<std::string> why;
  if (due(verdict.target.requests, verdict.looks)) why = failing(verdict.target, verdict.source);
  if (!why && verdict.warmed_up && due(sum(verdict.target.latency), verdict.slow_looks)) why = slow(verdict.target, verdict.source);
  if (why) fail_deployment("deployment failed: the new revision does worse than the old one. " + *why);
}

}  // namespace watari::plan
