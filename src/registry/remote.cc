#include "registry/remote.h"

#include <algorithm>
#include <map>
#include <thread>

#include "base/digest.h"
#include "base/strings.h"
#include "codec/json.h"
#include "oci/reference.h"

namespace watari::registry {

namespace {

constexpr int kMaxRedirects = 5;
constexpr Seconds kMaxWait{30};

bool is_loopback_host(std::string_view host) {
  auto name = host.starts_with("[") ? host.substr(0, host.find(']') + 1) : host.substr(0, host.find(':'));
  return name == "localhost" || name.ends_with(".localhost") || name == "[::1]" || (name.starts_with("127.") && name.find_first_not_of("0123456789.") == name.npos);
}

// Registries on this host speak plain HTTP, as docker takes it too; all others HTTPS.
std::string base_of(const std::string& host) { return (is_loopback_host(host) ? "http://" : "https://") + host; }

std::string host_of(std::string_view url) {
  auto start = url.find("://");
  auto rest = url.substr(start == url.npos ? 0 : start + 3);
  return std::string(rest.substr(0, rest.find('/')));
}

bool passes_with_time(int status) { return status == 429 || status == 408 || status == 500 || status == 502 || status == 503 || status == 504; }
bool is_redirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

// `Bearer realm="https://auth/token",service="x",scope="…"` -> the parameters, by lower-case name (RFC 9110 section 11.6.1).
std::map<std::string, std::string> parameters_of(std::string_view challenge) {
  std::map<std::string, std::string> out;
  auto space = challenge.find(' ');
  std::size_t at = space == challenge.npos ? challenge.size() : space + 1;
  while (at < challenge.size()) {
    auto equals = challenge.find('=', at);
    if (equals == challenge.npos) break;
    auto name = to_lower(trim(challenge.substr(at, equals - at)));
    std::string value;
    at = equals + 1;
    if (at < challenge.size() && challenge[at] == '"') {
      for (++at; at < challenge.size() && challenge[at] != '"'; ++at) value += challenge[at] == '\\' && at + 1 < challenge.size() ? challenge[++at] : challenge[at];
      at = challenge.find(',', at);
    } else {
      auto end = challenge.find(',', at);
      value = trim(challenge.substr(at, end == challenge.npos ? end : end - at));
      at = end;
    }
    out[name] = value;
    if (at == challenge.npos) break;
    ++at;
  }
  return out;
}

}  // namespace

Result<RemoteName> parse_remote(const std::string& text) {
  const auto wrong = [&](std::string_view why) { return fail(Code::InvalidArgument, "{} names no image of a registry: {}", text, why); };
  const auto slash = text.find('/');
  const auto host = text.substr(0, slash);
  if (slash == text.npos || (host != "localhost" && host.find_first_of(".:") == host.npos)) return wrong("begin with the registry, for example ghcr.io/team/web:1");
  RemoteName out{host, text.substr(slash + 1), "latest"};
  if (auto at = out.repository.find('@'); at != out.repository.npos) {
    out.reference = out.repository.substr(at + 1);
    out.repository.resize(at);
    if (!oci::valid_digest(out.reference)) return wrong("after @ stands a digest, sha256: and 64 hexadecimal digits or sha512: and 128");
  } else if (auto colon = out.repository.rfind(':'); colon != out.repository.npos) {
    out.reference = out.repository.substr(colon + 1);
    out.repository.resize(colon);
    if (!oci::valid_tag(out.reference)) return wrong("the tag is none");
  }
  if (out.host == "docker.io" || out.host == "index.docker.io") {
    out.host = "registry-1.docker.io";
    if (out.repository.find('/') == out.repository.npos) out.repository = "library/" + out.repository;
  }
  if (!oci::valid_repository(out.repository)) return wrong("names are lower-case letters and digits, with ., _, - between them, in parts separated by /");
  return out;
}

bool is_passing(const Error& error) { return error.code == Code::Unavailable || error.code == Code::DeadlineExceeded; }

Remote::Remote(RemoteName name, RemoteOptions options) : name_(std::move(name)), options_(std::move(options)), base_(base_of(name_.host)) {}

std::string Remote::url_of(const std::string& path) const {
  if (path.starts_with("http://") || path.starts_with("https://")) return path;
  if (path.starts_with('/')) return base_ + path;
  return base_ + "/v2/" + name_.repository + "/" + path;
}

Result<net::Response> Remote::once(const std::string& method, const std::string& path, net::Headers headers, net::FetchOptions options) {
  auto url = url_of(path);
  options.ca_file = options_.ca_file;
  options.stall = options_.stall;
  for (int redirects = 0;; ++redirects) {
    net::Request request{.method = method, .target = url, .headers = headers};
    request.headers.set("user-agent", "watari");
    if (host_of(url) == name_.host) {  // credentials are for the registry, not for the storage that it points to
      std::lock_guard lock(mutex_);
      if (!authorization_.empty()) request.headers.set("authorization", authorization_);
    }
    TRY(auto response, net::fetch(request, options));
    if (!is_redirect(response.status) || (method != "GET" && method != "HEAD")) return response;
    std::string location(response.headers.get("location"));
    if (redirects == kMaxRedirects || location.empty()) return fail(Code::FailedPrecondition, "{} redirects without end", name_.host);
    url = location.starts_with('/') ? url.substr(0, url.find('/', url.find("://") + 3)) + location : location;
    if (url.starts_with("http://") && base_.starts_with("https://")) return fail(Code::FailedPrecondition, "{} redirects from HTTPS to plain HTTP", name_.host);
  }
}

Result<net::Response> Remote::request(const std::string& method, const std::string& path, net::Headers headers, const net::FetchOptions& options, bool push) {
  bool logged_in = false;
  for (int attempt = 1;; ++attempt) {
    auto response = once(method, path, headers, options);
    if (response && response->status == 401 && !logged_in) {
      TRY_VOID(log_in(response->headers.get("www-authenticate"), push));
      logged_in = true;
      --attempt;
      continue;
    }
    const bool again = response ? passes_with_time(response->status) : !options.on_body && is_passing(response.error());
    if (!again || attempt >= options_.attempts) return response;
    back_off(attempt, response ? &*response : nullptr);
  }
}

void Remote::back_off(int attempt, const net::Response* response) {
  Millis wait{100 << std::min(attempt, 6)};
  if (response)
    if (auto after = parse_number<std::int64_t>(response->headers.get("retry-after")); after && *after >= 0) wait = std::min<Millis>(Seconds(*after), kMaxWait);
  std::this_thread::sleep_for(wait);
}

Result<void> Remote::log_in(std::string_view challenge, bool push) {
  const auto scheme = to_lower(challenge.substr(0, challenge.find(' ')));
  std::string authorization;
  if (scheme == "bearer") {
    TRY(auto token, fetch_token(challenge, push));
    authorization = "Bearer " + token;
  } else if (scheme == "basic" && !options_.user.empty()) {
    authorization = "Basic " + base64(options_.user + ":" + options_.password);
  } else {
    return fail(Code::Unauthenticated, "{} wants a login: `watari images login {}`", name_.host, name_.host);
  }
  std::lock_guard lock(mutex_);
  authorization_ = std::move(authorization);
  return {};
}

Result<std::string> Remote::fetch_token(std::string_view challenge, bool push) const {
  auto parameters = parameters_of(challenge);
  auto url = parameters["realm"];
  if (!url.starts_with("https://") && !(url.starts_with("http://") && is_loopback_host(host_of(url))))
    return fail(Code::FailedPrecondition, "{} sends its clients to {} for a token, which is no HTTPS address", name_.host, url);
  auto scope = fmt::format("repository:{}:{}", name_.repository, push ? "pull,push" : "pull");
  url += (url.find('?') == url.npos ? "?" : "&") + ("scope=" + percent_encode(scope));
  if (!parameters["service"].empty()) url += "&service=" + percent_encode(parameters["service"]);
  net::Request request{.method = "GET", .target = url};
  if (!options_.user.empty()) request.headers.set("authorization", "Basic " + base64(options_.user + ":" + options_.password));
  for (int attempt = 1;; ++attempt) {
    auto response = net::fetch(request, {.ca_file = options_.ca_file});
    if ((!response || passes_with_time(response->status)) && attempt < options_.attempts) {
      back_off(attempt, response ? &*response : nullptr);
      continue;
    }
    if (!response) return fail(std::move(response).error());
    if (response->status == 401 || response->status == 403)
      return fail(Code::Unauthenticated, "{} refuses the login for {}; `watari images login {}` stores another", name_.host, name_.repository, name_.host);
    auto json = codec::parse_json(response->body);
    auto token = json ? (*json)[json->has("token") ? "token" : "access_token"].as_string() : std::string();
    if (response->status != 200 || token.empty()) return fail(Code::FailedPrecondition, "{} gave no token (HTTP {})", host_of(url), response->status);
    return token;
  }
}

Error Remote::refusal(const std::string& what, const net::Response& response) const {
  std::string why;
  if (auto json = codec::parse_json(response.body); json && !(*json)["errors"].as_array().empty()) why = (*json)["errors"].as_array().front()["message"].as_string();
  const auto code = response.status == 404 ? Code::NotFound : response.status == 401 || response.status == 403 ? Code::PermissionDenied : Code::FailedPrecondition;
  return {code, fmt::format("{}: {} answers {}{}", what, name_.host, response.status, why.empty() ? "" : ": " + why)};
}

}  // namespace watari::registry
