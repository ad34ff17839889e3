#pragma once
// A plain request that waits for its answer, from whichever thread that comes. Internal to net/.
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "net/answer.h"
#include "net/http.h"

namespace watari::net {

// The Reply and the connection both hold it; whoever answers first wins. Any thread.
class PendingReply {
 public:
  using Resume = std::move_only_function<void(Response)>;
  void set(Resume resume) {
    std::lock_guard lock(mutex_);
    resume_ = std::move(resume);
  }
  void answer(Response response) {
    Resume resume;
    {
      std::lock_guard lock(mutex_);
      resume = std::move(resume_);
      resume_ = nullptr;
    }
    if (resume) resume(std::move(response));
  }

 private:
  std::mutex mutex_;
  Resume resume_;
};

// The Reply's hold: one that is dropped without an answer answers 500.
struct ReplyHandle {
  std::shared_ptr<PendingReply> waiting;
  explicit ReplyHandle(std::shared_ptr<PendingReply> pending) : waiting(std::move(pending)) {}
  ReplyHandle(ReplyHandle&&) = default;
  ~ReplyHandle() {
    if (waiting) waiting->answer(plain_text(500, "the handler gave no answer"));
  }
};

}  // namespace watari::net
