#pragma once
// Is the new revision worse than the old one? Judged from what the load balancer counted of both: failed requests (5xx of the
// targets, and requests that got no answer), and how many were slow. Pure functions; tests/unit/plan/verdict_test.cc measures
// how often they are wrong and how soon they are right.
//
// The test is sequential: it is asked again and again while traffic comes in. It looks when the number of requests to the new
// revision has grown by a quarter since the look before, at most kLooks times, and each look may be wrong with probability
// kRisk / kLooks (Bonferroni), so that a deployment of a revision as good as the old one is taken back by mistake with less
// than kRisk. Failures: Fisher's exact test, which needs no assumption about the old revision's share; besides, the share has to
// be worse by something that matters. Slow requests: a binomial test against what the old revision hardly ever exceeds.
#include <cstdint>
#include <optional>
#include <string>

#include "model/service.h"

namespace watari::plan {

constexpr double kRisk = 3e-4;
constexpr int kLooks = 64;

// P(at least `failures` of `requests` are new), when `all_failures` are spread at random over both revisions' requests.
double fisher_tail(std::uint64_t requests, std::uint64_t failures, std::uint64_t old_requests, std::uint64_t old_failures);
// P(X >= hits) for X ~ Binomial(n, p).
double binomial_tail(std::uint64_t n, std::uint64_t hits, double p);

// The look that so many requests allow: 0 for 10, 1 for 13, …; -1 below.
int look_at(std::uint64_t requests);

// Why the new revision is to be taken back, in words; nothing while there is no evidence.
std::optional<std::string> failing(const model::Traffic& fresh, const model::Traffic& old);
std::optional<std::string> slow(const model::Traffic& fresh, const model::Traffic& old);

}  // namespace watari::plan
