#include "logs/query.h"

#include <algorithm>
#include <set>

namespace watari::logs {
namespace {

struct Candidate {
  const StreamSource* stream;
  Block block;
};

struct ByPosition {
  bool operator()(const Event& a, const Event& b) const { return a.at < b.at; }
};

// The best `limit` events seen so far: the earliest, or with newest_first the latest.
class Best {
 public:
  explicit Best(const Query& query) : query_(query) {}

  // Nothing at or beyond this time can get in any more.
  bool closed_to(const Block& block) const {
    if (!full_) return false;
    return query_.newest_first ? block.last_ns < events_.begin()->at.time_ns : block.first_ns > events_.rbegin()->at.time_ns;
  }

  void add(Position at, std::string_view text) {
    bool worse = full_ && (query_.newest_first ? at < events_.begin()->at : at > events_.rbegin()->at);
    if (worse) return;
    bytes_ += text.size();
    events_.insert(Event{std::move(at), std::string(text)});
    while (events_.size() > query_.limit || (bytes_ > query_.max_bytes && events_.size() > 1)) {
      auto worst = query_.newest_first ? events_.begin() : std::prev(events_.end());
      bytes_ -= worst->text.size();
      events_.erase(worst);
      full_ = true;
    }
  }

  EventPage take() {
    EventPage page{{}, full_};
    while (!events_.empty()) page.events.push_back(std::move(events_.extract(events_.begin()).value()));
    return page;
  }

 private:
  const Query& query_;
  std::set<Event, ByPosition> events_;
  std::size_t bytes_ = 0;
  bool full_ = false;  // something was left out, so only better ones get in
};

bool may_hold(const Block& block, const Query& query) {
  return block.last_ns >= query.from_ns && block.first_ns < query.to_ns && (!query.after || block.last_ns >= query.after->time_ns) &&
         (!query.before || block.first_ns <= query.before->time_ns);
}

bool wanted(const Position& at, std::string_view text, const Query& query) {
  return at.time_ns >= query.from_ns && at.time_ns < query.to_ns && (!query.after || at > *query.after) &&
         (!query.before || at < *query.before) && (!query.matches || query.matches(text));
}

}  // namespace

EventPage run_query(const std::vector<StreamSource>& streams, const Query& query) {
  std::vector<Candidate> candidates;
  for (const auto& stream : streams)
    for (const auto& block : stream.index->blocks())
      if (may_hold(block, query)) candidates.push_back({&stream, block});
  if (query.newest_first) std::ranges::sort(candidates, std::ranges::greater{}, [](const Candidate& c) { return c.block.last_ns; });
  else std::ranges::sort(candidates, std::ranges::less{}, [](const Candidate& c) { return c.block.first_ns; });

  Best best(query);
  for (const auto& [stream, block] : candidates) {
    if (best.closed_to(block)) break;
    each_event(stream->directory, block, [&](std::uint64_t offset, const Record& record) {
      Position at{record.time_ns, stream->name, block.sequence, offset};
      if (wanted(at, record.text, query)) best.add(std::move(at), record.text);
    });
  }
  return best.take();
}

}  // namespace watari::logs
