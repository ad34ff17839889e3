#include "builder/provenance.h"

#include <algorithm>

#include "base/digest.h"
#include "base/strings.h"
#include "builder/expand.h"
#include "builder/lint.h"
#include "builder/sbom.h"
#include "codec/json.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "oci/referrers.h"

namespace watari::builder {

using codec::Json;

namespace {

std::string hex_of(const std::string& digest) { return digest.substr(digest.find(':') + 1); }
Json sha256_set(const std::string& hex) { return Json::object({{"sha256", hex}}); }

// "https://user:password@host/a" without what stands before the @.
std::string without_login(const std::string& uri) {
  auto start = uri.find("://");
  if (start == uri.npos) return uri;
  start += 3;
  auto end = std::min(uri.find_first_of("/?#", start), uri.size());
  auto at = uri.rfind('@', end);
  return at == uri.npos || at < start ? uri : uri.substr(0, start) + uri.substr(at + 1);
}

// Takes what must stay secret out of what a document says.
class Redaction {
 public:
  explicit Redaction(const BuildRequest& request) {
    for (const auto& [id, value] : request.secrets) hidden_.push_back(value);
    for (const auto& [name, value] : request.build_args)
      if (looks_secret(name) || is_predefined_arg(name)) hidden_.push_back(value);
    std::erase(hidden_, "");
    // The longer first: one may be a part of another.
    std::ranges::sort(hidden_, std::ranges::greater(), &std::string::size);
  }
  std::string operator()(std::string text) const {
    for (const auto& value : hidden_) text = replaced_all(std::move(text), value, "***");
    return text;
  }

 private:
  std::vector<std::string> hidden_;
};

template <class Map>
Json names_of(const Map& map) {
  auto out = Json::array();
  for (const auto& [name, value] : map) out.push(Json(name));
  return out;
}

Json context_json(const Context& context, const std::string& id) {
  auto out = Json::object({{"id", id}});
  // Of the tar of all names, modes and contents (builder/context_index.h).
  if (context.index) out.set("digest", sha256_set(sha256_hex(context.index->archive())));
  return out;
}

Json external_parameters(const BuildFacts& facts, const Redaction& redacted) {
  const auto& request = facts.request;
  auto args = Json::object();
  for (const auto& [name, value] : request.build_args)
    if (!is_predefined_arg(name)) args.set(name, Json(looks_secret(name) ? "***" : redacted(value)));
  auto contexts = Json::object();
  for (const auto& [name, value] : request.contexts) contexts.set(name, Json(value));
  auto out = Json::object({{"context", context_json(facts.context, request.context_id)},
                           {"dockerfile", Json::object({{"path", request.dockerfile}, {"digest", sha256_set(sha256_hex(facts.dockerfile))}})},
                           {"target", request.target},
                           {"buildArgs", std::move(args)}});
  if (!request.contexts.empty()) out.set("namedContexts", std::move(contexts));
  if (!request.secrets.empty()) out.set("secretIds", names_of(request.secrets));
  if (!request.agents.empty()) out.set("sshAgentIds", names_of(request.agents));
  return out;
}

Json dependencies(const BuildFacts& facts, const Redaction& redacted) {
  auto all = facts.materials.all();
  const auto add_image = [&](const std::string& name, const oci::Image& image) {
    if (!image.digest.empty()) all.insert({"docker-image://" + name, "sha256", hex_of(image.digest)});
  };
  for (const auto& stage : facts.plan.stages) {
    if (stage.base) add_image(stage.base_name, *stage.base);
    for (const auto& [name, origin] : stage.origins)
      if (origin.image) add_image(name, *origin.image);
  }
  auto out = Json::array();
  for (const auto& each : all)
    out.push(Json::object({{"uri", redacted(without_login(each.uri))}, {"digest", Json::object({{each.algorithm, each.digest}})}}));
  return out;
}

}  // namespace

std::string provenance_of(const BuildFacts& facts, const oci::Image& image) {
  const Redaction redacted(facts.request);
  auto subjects = Json::array();
  if (facts.request.tags.empty()) subjects.push(Json::object({{"name", image.digest}, {"digest", sha256_set(hex_of(image.digest))}}));
  for (const auto& tag : facts.request.tags) subjects.push(Json::object({{"name", tag}, {"digest", sha256_set(hex_of(image.digest))}}));
  auto metadata = Json::object({{"invocationId", facts.build_id}, {"startedOn", iso8601(facts.started_at)}, {"finishedOn", iso8601(facts.ended_at)}});
  auto definition = Json::object({{"buildType", "urn:watari:build:dockerfile:v1"},
                                  {"externalParameters", external_parameters(facts, redacted)},
                                  {"internalParameters", Json::object({{"platform", image.os + "/" + image.architecture}})},
                                  {"resolvedDependencies", dependencies(facts, redacted)}});
  auto run = Json::object({{"builder", Json::object({{"id", "urn:watari:builder"}})}, {"metadata", std::move(metadata)}});
  return Json::object({{"_type", "https://in-toto.io/Statement/v1"},
                       {"subject", std::move(subjects)},
                       {"predicateType", "https://slsa.dev/provenance/v1"},
                       {"predicate", Json::object({{"buildDefinition", std::move(definition)}, {"runDetails", std::move(run)}})}})
      .dump();
}

Result<void> record_origin(oci::ImageStore& images, ImagePackages& known, const oci::Image& image, const BuildFacts& facts) {
  std::set<std::string> repositories;
  for (const auto& tag : facts.request.tags) {
    TRY(auto reference, oci::parse_reference(tag));
    repositories.insert(reference.repository);
  }
  const bool untagged = repositories.empty();
  if (untagged) repositories.insert(std::string(kUntagged));
  std::erase_if(repositories, [&](const std::string& each) { return images.repositories().manifest(each, image.digest).has_value(); });
  if (repositories.empty()) return {};
  TRY(auto debian, dpkg_status_of(images, image));
  TRY(auto others, known.of(image));
  TRY(auto unread, rpm_databases_of(images, image));
  TRY(const auto distribution, distribution_of(images, image));
  unread.insert(unread.end(), others.unread.begin(), others.unread.end());
  const auto name = untagged ? image.digest : facts.request.tags.front();
  const std::vector<oci::Artifact> artifacts{
      {std::string(kInToto), provenance_of(facts, image),
       {{"org.opencontainers.image.created", iso8601(facts.ended_at)}, {"in-toto.io/predicate-type", "https://slsa.dev/provenance/v1"}}},
      {std::string(kSpdx), spdx_of_dpkg(name, debian.value_or(""), image.created, nullptr, others.packages, unread, distribution), {{"org.opencontainers.image.created", image.created}}}};
  for (const auto& repository : repositories) {
    // A build that was killed before it set its tags has left some or all of them.
    auto missing = artifacts;
    for (const auto& there : oci::referrers_of(images.content(), images.repositories(), repository, image.digest))
      std::erase_if(missing, [&](const oci::Artifact& each) { return each.type == there.artifact_type; });
    if (!missing.empty()) TRY_VOID(images.attach(repository, image.digest, missing));
  }
  if (untagged) TRY_VOID(images.repositories().link(std::string(kUntagged), image.digest, std::string(oci::kOciManifest)));
  return {};
}

}  // namespace watari::builder
