#pragma once
// What targets answered, and how fast: counted by HAProxy, collected by the balancer's thread, read by anyone. Plain values.
//
// They begin at zero when the daemon starts and only grow while it runs, also across reloads of HAProxy. Whoever wants "since
// then" keeps a copy and subtracts it; a counter below that copy says that the daemon was started anew: begin again there.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace watari::balancer {

// Milliseconds from the request's start until the target's response headers were complete (ALB: TargetResponseTime), in 48
// classes whose bounds grow by about a quarter. Under load only some requests are timed, drawn at random.
struct LatencyHistogram {
  static constexpr std::size_t kClasses = 48;
  std::array<std::uint64_t, kClasses> counts{};

  // Upper bound of a class: 1, 2, 3, … 8, then each 5/4 of the one before; the last has none.
  static constexpr std::array<double, kClasses> kBounds = [] {
    std::array<double, kClasses> bounds{};
    double bound = 0;
    for (auto& b : bounds) b = bound = bound < 8 ? bound + 1 : bound * 1.25;
    return bounds;
  }();

  void add(double milliseconds, std::uint64_t times = 1) {
    auto at = std::upper_bound(kBounds.begin(), kBounds.end() - 1, milliseconds) - kBounds.begin();
    counts[static_cast<std::size_t>(at)] += times;
  }
  std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (auto count : counts) sum += count;
    return sum;
  }
  // quantile(0.99): so many milliseconds or less took 99 % of them; 0 without any. Exact to the class it falls into.
  double quantile(double share) const {
    double wanted = share * static_cast<double>(total()), below = 0;
    for (std::size_t i = 0; i < kClasses; ++i) {
      auto count = static_cast<double>(counts[i]);
      if (count > 0 && below + count >= wanted) {
        double low = i == 0 ? 0 : kBounds[i - 1];
        return low + (kBounds[i] - low) * (wanted - below) / count;
      }
      below += count;
    }
    return 0;
  }
};

struct Counters {
  std::uint64_t requests = 0;  // sent to targets, those that got no answer included
  std::uint64_t responses_2xx = 0, responses_3xx = 0, responses_4xx = 0, responses_5xx = 0;  // as the target gave them
  std::uint64_t connection_errors = 0;  // no connection could be opened
  std::uint64_t response_errors = 0;    // the target broke off, answered nonsense or not in time
  std::uint64_t refused = 0;            // of a target group's total: 5xx that the load balancer gave itself, also where there was no target
  std::uint64_t refused_502 = 0, refused_503 = 0, refused_504 = 0;  // of those; the rest of them comes a moment later
  LatencyHistogram latency;

  // The failures that a verdict on a revision counts: 5xx of the target itself, and no answer at all.
  std::uint64_t failures() const { return responses_5xx + connection_errors + response_errors; }

  template <class Combine>
  Counters& combine(const Counters& other, Combine&& with) {
    with(requests, other.requests);
    with(responses_2xx, other.responses_2xx);
    with(responses_3xx, other.responses_3xx);
    with(responses_4xx, other.responses_4xx);
    with(responses_5xx, other.responses_5xx);
    with(connection_errors, other.connection_errors);
    with(response_errors, other.response_errors);
    with(refused, other.refused);
    with(refused_502, other.refused_502);
    with(refused_503, other.refused_503);
    with(refused_504, other.refused_504);
    for (std::size_t i = 0; i < LatencyHistogram::kClasses; ++i) with(latency.counts[i], other.latency.counts[i]);
    return *this;
  }
  Counters& operator+=(const Counters& other) {
    return combine(other, [](std::uint64_t& a, std::uint64_t b) { a += b; });
  }
  // What came since `earlier`; a counter that is below it counts from zero.
  Counters since(const Counters& earlier) const {
    return Counters(*this).combine(earlier, [](std::uint64_t& a, std::uint64_t b) { a -= a < b ? 0 : b; });
  }
};

struct TargetCounters {
  std::string address;
  int port = 0;
  Counters counters;
};

struct TargetGroupCounters {
  std::string target_group;  // ARN
  Counters total;            // of targets that have left as well
  std::vector<TargetCounters> targets;
};

}  // namespace watari::balancer
