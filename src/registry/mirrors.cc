#include "registry/mirrors.h"

#include "base/log.h"

namespace watari::registry {

namespace {

// Docker's registry has a name that nobody connects to.
std::string known_as(const std::string& host) { return host == "docker.io" || host == "index.docker.io" ? "registry-1.docker.io" : host; }

// A mirror stands in for something that is there: it gets less patience.
constexpr int kMirrorAttempts = 2;
constexpr Millis kMirrorStall{10'000};

Result<RemoteName> name_at(const std::string& mirror, const RemoteName& name) {
  TRY(auto out, parse_remote(mirror + "/" + name.repository));
  out.reference = name.reference;
  return out;
}

}  // namespace

Result<void> add_mirror(Mirrors& mirrors, const std::string& text) {
  const auto equals = text.find('=');
  const auto registry = text.substr(0, equals), mirror = equals == text.npos ? "" : text.substr(equals + 1);
  // Any name below it must be one of an image: this finds schemes, tags and trailing slashes too.
  if (!parse_remote(registry + "/any") || registry.find('/') != registry.npos || !parse_remote(mirror + "/any"))
    return fail(Code::InvalidArgument, "{} names no mirror: give REGISTRY=HOST[:PORT][/PREFIX], for example docker.io=mirror.example.com/hub", text);
  mirrors[known_as(registry)].push_back(mirror);
  return {};
}

Sources::Sources(std::vector<std::shared_ptr<Remote>> mirrors, std::shared_ptr<Remote> registry) {
  for (auto& mirror : mirrors) all_.push_back({std::move(mirror)});
  all_.push_back({std::move(registry)});
}

Result<void> Sources::try_each(const std::string& what, const std::function<Result<void>(Remote&, bool)>& job) {
  for (auto& source : all_) {
    const bool is_last = &source == &all_.back();
    if (!is_last && *source.silent) continue;
    auto done = job(*source.remote, is_last);
    if (done || is_last || done.error().code == Code::Cancelled) return done;
    log::warn("mirror {} of {}: {}: {}", source.remote->name().host, registry().name().host, what, done.error().message);
    if (is_passing(done.error())) *source.silent = true;
  }
  return {};
}

Result<Sources> sources_of(const RemoteName& name, const Mirrors& mirrors, const std::function<Result<RemoteOptions>(const std::string&)>& login_for) {
  std::vector<std::shared_ptr<Remote>> first;
  if (auto found = mirrors.find(name.host); found != mirrors.end()) {
    for (const auto& mirror : found->second) {
      TRY(auto at, name_at(mirror, name));
      TRY(auto options, login_for(at.host));
      options.attempts = kMirrorAttempts;
      options.stall = kMirrorStall;
      first.push_back(std::make_shared<Remote>(std::move(at), std::move(options)));
    }
  }
  TRY(auto options, login_for(name.host));
  return Sources(std::move(first), std::make_shared<Remote>(name, std::move(options)));
}

}  // namespace watari::registry
