#include "registry/transfers.h"

#include <algorithm>

#include "base/strings.h"

namespace watari::registry {

namespace {
constexpr std::size_t kKept = 100, kRunning = 16;
}

Transfers::~Transfers() {
  for (auto& [id, transfer] : all_) transfer->progress.cancelled = true;
  all_.clear();  // joins
}

Result<std::string> Transfers::start(Job job) {
  std::lock_guard lock(mutex_);
  if (std::ranges::count_if(all_, [](const auto& entry) { return !entry.second->done; }) >= static_cast<std::ptrdiff_t>(kRunning))
    return fail(Code::ResourceExhausted, "{} transfers are running; wait for one to end", kRunning);
  for (auto at = all_.begin(); at != all_.end() && all_.size() >= kKept;) at = at->second->done ? all_.erase(at) : std::next(at);
  auto& transfer = *(all_[next_] = std::make_unique<Running>());
  transfer.thread = std::jthread([&transfer, job = std::move(job)] {
    transfer.result = job(transfer.progress);
    transfer.done = true;
  });
  return std::to_string(next_++);
}

std::optional<Transfers::View> Transfers::find(const std::string& id) const {
  std::lock_guard lock(mutex_);
  auto found = all_.find(parse_number<std::uint64_t>(id).value_or(0));
  if (found == all_.end()) return std::nullopt;
  const auto& transfer = *found->second;
  View out{.running = !transfer.done, .bytes_done = transfer.progress.bytes_done, .bytes_total = transfer.progress.bytes_total};
  if (!out.running) out.result = transfer.result;
  return out;
}

}  // namespace watari::registry
