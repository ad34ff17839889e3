#pragma once
// Blobs on their way in: UPLOADS/<id>/ holds "repository" (one line) and "data" (what has arrived). Owned by the registry; thread-safe.
// The offset is the file's length, so an upload goes on after a crash where it was; the digest is then taken from the file again.
#include <condition_variable>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"

namespace watari::registry {

class Uploads {
 public:
  Uploads(std::filesystem::path root, const Clock& clock) : root_(std::move(root)), clock_(clock) {}
  // Removes what nobody has written to for `age`, and no request works on. Returns how many there were.
  static constexpr Seconds kPatience{24 * 60 * 60};
  int expire(Seconds age = kPatience);

  // An upload while one request works on it.
  class Session {
   public:
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    const std::string& id() const { return id_; }
    std::int64_t offset() const { return offset_; }
    Result<void> append(std::string_view bytes);
    // `like` begins with the algorithm of the digest that will be asked for (base/digest.h, DigestStream); without this word what has arrived is
    // read again for any but sha256.
    void expect(std::string_view like);
    // The digest of everything that has arrived, by the algorithm of `like`. Ends the hashing: nothing can be appended after it.
    Result<std::string> digest(std::string_view like = "sha256");
    std::filesystem::path data() const { return directory_ / "data"; }
    // Forgets the upload and removes what is left of it.
    void remove();

   private:
    friend class Uploads;
    Session(Uploads& uploads, std::string id) : uploads_(uploads), id_(std::move(id)), directory_(uploads.root_ / id_) {}
    Result<void> open();
    Uploads& uploads_;
    std::string id_;
    std::filesystem::path directory_;
    int fd_ = -1;
    std::int64_t offset_ = 0;
    std::unique_ptr<DigestStream> hash_;  // of the first hashed_ bytes
    std::int64_t hashed_ = 0;
    bool ended_ = false;
  };

  Result<std::unique_ptr<Session>> start(const std::string& repository);
  // NotFound when there is no such upload in that repository. Waits a little for a request that still works on it (its answer is out
  // already, or its client is gone); Conflict when that does not end.
  Result<std::unique_ptr<Session>> resume(const std::string& repository, const std::string& id);

 private:
  struct Hash {
    std::unique_ptr<DigestStream> stream;
    std::int64_t bytes = 0;
  };
  std::filesystem::path root_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Hash> hashes_;  // between the requests of one upload; lost in a crash, and taken again
  std::condition_variable released_;
  std::set<std::string> busy_;
};

}  // namespace watari::registry
