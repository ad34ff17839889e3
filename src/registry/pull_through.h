#pragma once
// Repositories that are filled from another registry when somebody asks for their images: rules by prefix, and the pulling.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fields.h"
#include "oci/image_store.h"
#include "registry/mirrors.h"
#include "registry/remote.h"
#include "registry/transfer.h"

namespace watari::registry {

struct PullThroughRule {
  std::string prefix;           // "hub": hub/library/debian is library/debian of the upstream
  std::string upstream;         // host[:port]
  std::string upstream_prefix;  // put before the rest; may be empty
  std::string kind;             // AWS's word for the upstream, as it was given
  std::string region;           // whose parameters hold the login
  Time created_at{};
  WATARI_FIELDS(PullThroughRule, prefix, upstream, upstream_prefix, kind, region, created_at)
};

// Where the login for a registry is kept: a secret parameter "user:password".
std::string login_parameter(const std::string& host);

// Owned by the registry; thread-safe.
class PullThrough {
 public:
  // User and password, both empty when there is no login. Any thread.
  using LoginOf = std::function<Result<std::pair<std::string, std::string>>(const std::string& region, const std::string& host)>;

  // `file` holds the rules (JSON); it need not be there.
  static Result<std::unique_ptr<PullThrough>> open(std::filesystem::path file, oci::ImageStore& images, const Clock& clock, LoginOf login_of, Mirrors mirrors);

  std::vector<PullThroughRule> rules() const;  // by prefix
  Result<void> add(PullThroughRule rule);      // AlreadyExists; InvalidArgument for an upstream that is no registry
  Result<PullThroughRule> remove(const std::string& prefix);
  // Does the upstream let its login in?
  Result<void> validate(const PullThroughRule& rule) const;

  // With the login that the region keeps for each.
  Result<Sources> sources(const RemoteName& name, const std::string& region) const;

  // Before a manifest is looked up: fetches it with its blobs when a rule covers the repository and it is not here, or is a tag that was
  // last compared a day ago. The error of a fetch whose image is here is only logged: what is here is served then.
  Result<void> refresh(const std::string& repository, const std::string& reference);
  // Ends the fetches that run, and those that would still begin: the server stops.
  void cancel();

 private:
  PullThrough(std::filesystem::path file, oci::ImageStore& images, const Clock& clock, LoginOf login_of, Mirrors mirrors)
      : file_(std::move(file)), images_(images), clock_(clock), login_of_(std::move(login_of)), mirrors_(std::move(mirrors)) {}
  std::optional<PullThroughRule> rule_for(const std::string& repository) const;
  bool is_fresh(const std::string& repository, const std::string& reference) const;
  Result<Sources> connect(const PullThroughRule& rule, std::string repository, std::string reference) const;
  Result<void> write(const std::vector<PullThroughRule>& rules) const;

  std::filesystem::path file_;
  oci::ImageStore& images_;
  const Clock& clock_;
  LoginOf login_of_;
  Mirrors mirrors_;
  mutable std::mutex mutex_;
  std::vector<PullThroughRule> rules_;
  std::map<std::string, Time> compared_;  // "repository:tag"; forgotten in a restart
  std::map<std::string, std::unique_ptr<Progress>> running_;
  bool stopping_ = false;
  std::condition_variable ended_;
};

}  // namespace watari::registry
