#include "registry/pull_through.h"

#include <algorithm>

#include "base/log.h"
#include "codec/json.h"
#include "codec/reflect.h"
#include "oci/reference.h"
#include "sys/files.h"

namespace watari::registry {

namespace {
constexpr std::chrono::hours kCompareAgain{24};  // as AWS does
}

std::string login_parameter(const std::string& host) {
  auto name = "/watari/registries/" + host;
  std::ranges::replace(name, ':', '_');
  return name;
}

Result<std::unique_ptr<PullThrough>> PullThrough::open(std::filesystem::path file, oci::ImageStore& images, const Clock& clock, LoginOf login_of, Mirrors mirrors) {
  std::unique_ptr<PullThrough> out(new PullThrough(std::move(file), images, clock, std::move(login_of), std::move(mirrors)));
  if (!std::filesystem::exists(out->file_)) return out;
  TRY(auto text, sys::read_file(out->file_));
  TRY(auto json, codec::parse_json(text));
  for (const auto& item : json.as_array()) {
    TRY(auto rule, codec::from_json<PullThroughRule>(item));
    out->rules_.push_back(std::move(rule));
  }
  return out;
}

std::vector<PullThroughRule> PullThrough::rules() const {
  std::lock_guard lock(mutex_);
  return rules_;
}

Result<void> PullThrough::write(const std::vector<PullThroughRule>& rules) const {
  auto json = codec::Json::array();
  for (const auto& rule : rules) json.push(codec::to_json(rule));
  return sys::replace_file(file_, json.dump(), 0644, true);
}

Result<void> PullThrough::add(PullThroughRule rule) {
  TRY_VOID(parse_remote(rule.upstream + "/" + (rule.upstream_prefix.empty() ? "" : rule.upstream_prefix + "/") + "any:1"));
  std::lock_guard lock(mutex_);
  if (std::ranges::count(rules_, rule.prefix, &PullThroughRule::prefix) > 0) return fail(Code::AlreadyExists, "there is a rule for {} already", rule.prefix);
  auto changed = rules_;
  changed.push_back(std::move(rule));
  std::ranges::sort(changed, {}, &PullThroughRule::prefix);
  TRY_VOID(write(changed));
  rules_ = std::move(changed);
  return {};
}

Result<PullThroughRule> PullThrough::remove(const std::string& prefix) {
  std::lock_guard lock(mutex_);
  auto changed = rules_;
  auto found = std::ranges::find(changed, prefix, &PullThroughRule::prefix);
  if (found == changed.end()) return fail(Code::NotFound, "there is no rule for {}", prefix);
  auto out = *found;
  changed.erase(found);
  TRY_VOID(write(changed));
  rules_ = std::move(changed);
  return out;
}

// The longest prefix counts.
std::optional<PullThroughRule> PullThrough::rule_for(const std::string& repository) const {
  std::lock_guard lock(mutex_);
  std::optional<PullThroughRule> out;
  for (const auto& rule : rules_)
    if (repository.starts_with(rule.prefix + "/") && (!out || rule.prefix.size() > out->prefix.size())) out = rule;
  return out;
}

bool PullThrough::is_fresh(const std::string& repository, const std::string& reference) const {
  if (oci::valid_digest(reference)) return images_.repositories().manifest(repository, reference).has_value();
  if (!images_.repositories().tagged(repository, reference)) return false;
  std::lock_guard lock(mutex_);
  auto found = compared_.find(repository + ":" + reference);
  return found != compared_.end() && clock_.now() - found->second < kCompareAgain;
}

Result<Sources> PullThrough::sources(const RemoteName& name, const std::string& region) const {
  return sources_of(name, mirrors_, [&](const std::string& host) -> Result<RemoteOptions> {
    TRY(auto login, login_of_(region, host));
    // People know docker's registry by another name than the one that is connected to.
    if (login.first.empty() && host == "registry-1.docker.io") {
      TRY(login, login_of_(region, "docker.io"));
    }
    return RemoteOptions{.user = login.first, .password = login.second};
  });
}

Result<Sources> PullThrough::connect(const PullThroughRule& rule, std::string repository, std::string reference) const {
  auto host = rule.upstream == "docker.io" ? "registry-1.docker.io" : rule.upstream;
  return sources({std::move(host), std::move(repository), std::move(reference)}, rule.region);
}

Result<void> PullThrough::validate(const PullThroughRule& rule) const {
  TRY(auto found, connect(rule, "watari/validate", "latest"));
  auto& upstream = found.registry();
  TRY(auto answer, upstream.request("GET", "/v2/", {}, {}));
  if (answer.status != 200) return fail(upstream.refusal("validate", answer));
  return {};
}

void PullThrough::cancel() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  for (auto& [key, progress] : running_) progress->cancelled = true;
}

Result<void> PullThrough::refresh(const std::string& repository, const std::string& reference) {
  auto rule = rule_for(repository);
  if (!rule || is_fresh(repository, reference)) return {};
  const auto key = repository + ":" + reference;
  Progress* progress = nullptr;
  {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return !running_.contains(key); });
    if (stopping_) return fail(Code::Unavailable, "the server is stopping");
    progress = (running_[key] = std::make_unique<Progress>()).get();
  }
  auto fetched = [&]() -> Result<void> {
    if (is_fresh(repository, reference)) return {};  // another request has fetched it meanwhile
    auto rest = repository.substr(rule->prefix.size() + 1);
    TRY(auto from, connect(*rule, rule->upstream_prefix.empty() ? rest : rule->upstream_prefix + "/" + rest, reference));
    TRY_VOID(pull_image(images_, from, repository, oci::valid_digest(reference) ? "" : reference, {Platforms::OwnIfAny}, *progress));
    log::info("{}:{} has come from {}", repository, reference, rule->upstream);
    return {};
  }();
  {
    std::lock_guard lock(mutex_);
    if (fetched) compared_[key] = clock_.now();
    running_.erase(key);
  }
  ended_.notify_all();
  if (fetched || !images_.repositories().tagged(repository, reference)) return fetched;
  log::warn("{} could not be compared with {}, what is here is served: {}", key, rule->upstream, fetched.error().message);
  return {};
}

}  // namespace watari::registry
