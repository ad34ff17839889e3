#include "registry/exchange.h"

#include <algorithm>

#include "base/digest.h"
#include "base/log.h"
#include "base/strings.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "oci/referrers.h"
#include "registry/policy.h"
#include "registry/token.h"

namespace watari::registry {

using codec::Json;

namespace {

// "127.0.0.1:5", "[::1]:5", "localhost", "x.localhost:80": names that never leave this host.
bool is_loopback(std::string_view host) {
  if (host.starts_with("[")) return host.starts_with("[::1]") || host.starts_with("[::ffff:127.");
  host = host.substr(0, host.find(':'));
  return host == "localhost" || host.ends_with(".localhost") ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos);
}

}  // namespace

void Exchange::run() {
  auto answered = dispatch();
  if (!answered && answered.error().code != Code::Unavailable)
    log::warn("registry: {} {}: {}", request_.method, request_.path, answered.error().message);
}

Exchange::Answer Exchange::dispatch() {
  auto route = parse_route(request_.path);
  if (!authenticated()) {
    net::Headers headers;
    headers.set("www-authenticate", "Basic realm=\"watari\"");
    headers.set("content-type", "application/json");
    return send(401, std::move(headers),
                R"({"errors":[{"code":"UNAUTHORIZED","message":"log in with an access key id and its secret, or as AWS with an authorization token"}]})");
  }
  if (!route) return refuse({404, "NAME_UNKNOWN", "no such endpoint of the registry API: " + request_.path});
  route_ = *std::move(route);
  const bool reading = is("GET") || is("HEAD");
  if (route_.endpoint == Endpoint::Base) return reading ? send_json(Json::object(), "application/json") : method_not_allowed("GET");
  if (route_.endpoint == Endpoint::Catalog) return is("GET") ? catalog() : method_not_allowed("GET");
  if (!oci::valid_repository(route_.repository))
    return refuse({400, "NAME_INVALID", route_.repository + " is no repository name: lower-case letters and digits, with ., _, - between them, in parts separated by /"});
  if (denied_by_policy()) return refuse({403, "DENIED", "the policy of the repository " + route_.repository + " denies this"});
  switch (route_.endpoint) {
    case Endpoint::Tags: return is("GET") ? tags() : method_not_allowed("GET");
    case Endpoint::Referrers: return is("GET") ? referrers() : method_not_allowed("GET");
    case Endpoint::Manifest:
      if (reading) return get_manifest();
      if (is("PUT")) return put_manifest();
      return is("DELETE") ? delete_manifest() : method_not_allowed("GET, HEAD, PUT, DELETE");
    case Endpoint::Blob:
      if (reading) return get_blob();
      return is("DELETE") ? delete_blob() : method_not_allowed("GET, HEAD, DELETE");
    case Endpoint::StartUpload: return is("POST") ? start_upload() : method_not_allowed("POST");
    case Endpoint::Upload:
      if (reading) return upload_status();
      if (is("PATCH")) return patch_upload();
      if (is("PUT")) return put_upload();
      return is("DELETE") ? cancel_upload() : method_not_allowed("GET, PATCH, PUT, DELETE");
    default: return refuse({404, "NAME_UNKNOWN", "no such endpoint"});
  }
}

// Clients on this host need no login (that is what makes `docker push 127.0.0.1:PORT/name` work), but only when they name the host
// as loopback and no proxy stands in between: neither a web page whose name was rebound to 127.0.0.1 nor the clients of a
// reverse proxy on this host are local.
bool Exchange::anonymous_allowed() const {
  return is_near() && is_loopback(request_.headers.get("host")) && !request_.headers.find("origin");
}

// On this host, and no proxy in between that says so.
bool Exchange::is_near() const { return is_loopback(request_.remote) && !request_.headers.find("x-forwarded-for") && !request_.headers.find("forwarded"); }

// Who gets here is the account's root user, or a role by the token that it was given; the actions are those that clients of AWS's registry need.
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
bool Exchange::denied_by_policy() {
  auto settings = images().repositories().settings(route_.repository);
  if (!settings || settings->policy.empty() || judged_) return false;
  const auto action = [&]() -> std::string {
    switch (route_.endpoint) {
      case Endpoint::Tags: return "ListImages";
      case Endpoint::Referrers: return "ListImageReferrers";
      case Endpoint::Manifest: return is("PUT") ? "PutImage" : is("DELETE") ? "BatchDeleteImage" : "BatchGetImage";
      case Endpoint::Blob: return is("HEAD") ? "BatchCheckLayerAvailability" : is("DELETE") ? "BatchDeleteImage" : "GetDownloadUrlForLayer";
      case Endpoint::StartUpload: return "InitiateLayerUpload";
      default: return is("PUT") ? "CompleteLayerUpload" : "UploadLayerPart";
    }
  }();
  return denies(settings->policy, asking("ecr:" + action));
}

PolicyRequest Exchange::asking(const std::string& action) const { return {action, principal_, options_.account, request_.secure}; }

bool Exchange::authenticated() {
  const auto authorization = request_.headers.get("authorization");
  principal_ = options_.principal;
  if (auto token = query(std::string(kUrlToken)); !token.empty()) {
    judged_ = true;  // when the URL was handed out
    return (is("GET") || is("HEAD")) && url_token_matches(request_.path, token, options_.secret_of, options_.clock.now());
  }
  if (authorization.empty()) return anonymous_allowed();
  std::string decoded;
  if (to_lower(authorization.substr(0, 6)) != "basic " || !base64_decode(trim(authorization.substr(6)), decoded)) return false;
  const auto colon = decoded.find(':');
  if (colon == decoded.npos) return false;
  auto principal = principal_of(std::string_view(decoded).substr(0, colon), std::string_view(decoded).substr(colon + 1), options_.secret_of, options_.clock.now());
  if (principal && !principal->empty()) principal_ = *std::move(principal);
  return principal.has_value();
}

std::string Exchange::query(const std::string& name) const {
  auto found = query_.find(name);
  return found == query_.end() ? "" : found->second;
}

Exchange::Answer Exchange::send(int status, net::Headers headers, std::string body) {
  headers.set("docker-distribution-api-version", "registry/2.0");
  return writer_.send({status, std::move(headers), std::move(body)});
}

Exchange::Answer Exchange::send_json(const Json& json, std::string media_type, net::Headers headers) {
  headers.set("content-type", std::move(media_type));
  return send(200, std::move(headers), json.dump());
}

Exchange::Answer Exchange::refuse(const ApiError& error) {
  net::Headers headers;
  headers.set("content-type", "application/json");
  const Json item = Json::object({{"code", error.code}, {"message", error.message}});
  return send(error.status, std::move(headers), Json::object({{"errors", Json::array({item})}}).dump());
}

Exchange::Answer Exchange::refuse(const Error& error, ApiError as) {
  as.message = error.message;
  if (error.code == Code::ResourceExhausted) as = {507, "DENIED", error.message};
  if (error.code == Code::Internal || error.code == Code::Corrupt) {
    log::error("registry: {} {}: {}", request_.method, request_.path, error.message);
    as = {500, "UNKNOWN", error.message};
  }
  return refuse(as);
}

Exchange::Answer Exchange::method_not_allowed(std::string_view allowed) {
  net::Headers headers;
  headers.set("allow", std::string(allowed));
  headers.set("content-type", "application/json");
  return send(405, std::move(headers), R"({"errors":[{"code":"UNSUPPORTED","message":"the method is not supported here"}]})");
}

Exchange::Answer Exchange::send_page(const char* member, const std::vector<std::string>& names, Json document, const std::string& path) {
  auto begin = names.begin();
  if (auto last = query("last"); !last.empty()) begin = std::ranges::upper_bound(names, last);
  auto end = names.end();
  net::Headers headers;
  if (auto n = query("n"); !n.empty()) {
    auto limit = parse_number<std::uint32_t>(n);
    if (!limit) return refuse({400, "PAGINATION_NUMBER_INVALID", "n is no number: " + n});
    if (*limit < static_cast<std::size_t>(end - begin)) {
      end = begin + *limit;
      if (*limit > 0)
        headers.set("link", fmt::format("<{}?n={}&last={}>; rel=\"next\"", path, *limit, percent_encode(*(end - 1))));
    }
  }
  Json list = Json::array();
  for (auto name = begin; name != end; ++name) list.push(Json(*name));
  document.set(member, std::move(list));
  return send_json(document, "application/json", std::move(headers));
}

Exchange::Answer Exchange::catalog() { return send_page("repositories", images().repositories().names(), Json::object(), "/v2/_catalog"); }

Exchange::Answer Exchange::tags() {
  if (!images().repositories().exists(route_.repository)) return refuse({404, "NAME_UNKNOWN", "no repository " + route_.repository + " here"});
  std::vector<std::string> names;
  for (auto& tag : images().repositories().tags(route_.repository)) names.push_back(std::move(tag.tag));
  return send_page("tags", names, Json::object({{"name", route_.repository}}), path_of("tags/list"));
}

// Manifests of the repository whose subject is the digest; an empty list when nobody knows of it.
Exchange::Answer Exchange::referrers() {
  if (!oci::valid_digest(route_.last)) return refuse({400, "DIGEST_INVALID", route_.last + " is no digest"});
  const std::string wanted = query("artifactType");
  Json manifests = Json::array();
  for (const auto& each : oci::referrers_of(images().content(), images().repositories(), route_.repository, route_.last)) {
    if (!wanted.empty() && each.artifact_type != wanted) continue;
    Json entry = Json::object({{"mediaType", each.media_type}, {"digest", each.digest}, {"size", each.size}});
    if (!each.artifact_type.empty()) entry.set("artifactType", Json(each.artifact_type));
    if (!each.annotations.empty()) {
      Json annotations = Json::object();
      for (const auto& [name, value] : each.annotations) annotations.set(name, Json(value));
      entry.set("annotations", std::move(annotations));
    }
    manifests.push(std::move(entry));
  }
  net::Headers headers;
  if (!wanted.empty()) headers.set("oci-filters-applied", "artifactType");
  const Json index = Json::object({{"schemaVersion", 2}, {"mediaType", oci::kOciIndex}, {"manifests", std::move(manifests)}});
  return send_json(index, std::string(oci::kOciIndex), std::move(headers));
}

}  // namespace watari::registry
