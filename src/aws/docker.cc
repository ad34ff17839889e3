#include "aws/docker.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <thread>

#include "base/digest.h"
#include "base/log.h"
#include "base/strings.h"
#include "builder/builder.h"
#include "codec/json.h"
#include "net/sigv4.h"
#include "oci/image_store.h"
#include "oci/reference.h"
#include "registry/token.h"
#include "registry/transfer.h"

namespace watari::aws {
namespace {

using codec::Json;

constexpr std::string_view kApiVersion = "1.43";

Json strings(const std::vector<std::string>& all) {
  auto list = Json::array();
  for (const auto& each : all) list.push(Json(each));
  return list;
}

Json set_of(const std::vector<std::string>& all) {
  auto object = Json::object();
  for (const auto& each : all) object.set(each, Json::object());
  return object;
}

// One request. On its thread.
class DockerCall {
 public:
  DockerCall(const net::Request& request, net::BodyReader& body, net::ResponseWriter& writer, builder::Builder& builder, oci::ImageStore& images,
             const Credentials& credentials, const registry::Mirrors& mirrors)
      : request_(request), body_(body), writer_(writer), builder_(builder), images_(images), credentials_(credentials), mirrors_(mirrors) {
    for (auto& [name, value] : net::parse_query(request.query, true)) {
      if (name == "t") tags_.push_back(value);
      query_[name] = std::move(value);
    }
  }

  void answer() {
    auto done = run();
    if (done) return;
    if (started_) {
      line(Json::object({{"errorDetail", Json::object({{"message", done.error().message}})}, {"error", done.error().message}}));
      return;
    }
    const auto code = done.error().code;
    const int status = code == Code::NotFound ? 404 : code == Code::Unauthenticated ? 401 : code == Code::InvalidArgument ? 400 : code == Code::FailedPrecondition ? 409 : 500;
    send(status, Json::object({{"message", done.error().message}}));
  }

 private:
  Result<void> run() {
    auto path = percent_decode(request_.path).value_or(request_.path);
    if (path == "/_ping") return ping();
    if (!may_call()) return fail(Code::Unauthenticated, "log in: the docker command needs HttpHeaders in its config.json; `watari build --docker` gives them to RUN steps");
    path = path.substr(std::min(path.size(), path.find('/', 1)));  // without /v1.43
    const auto& method = request_.method;
    if (path == "/_ping") return ping();
    if (path == "/version" || path == "/info") return version();
    if (method == "POST" && path == "/auth") return log_in();
    if (method == "POST" && path == "/build") return build();
    if (path == "/images/json") return list();
    if (method == "POST" && path == "/images/create") return pull();
    if (path.starts_with("/images/")) return image(method, path.substr(8));
    if (path.starts_with("/containers/") && path.ends_with("/json")) return fail(Code::NotFound, "No such container: {}", path.substr(12, path.size() - 17));
    for (std::string_view kind : {"/networks/", "/volumes/", "/services/", "/tasks/", "/nodes/", "/plugins/", "/secrets/", "/configs/"})
      if (path.starts_with(kind)) return fail(Code::NotFound, "No such object: {}", path.substr(kind.size()));
    return fail(Code::InvalidArgument, "{} {} is no part of the Docker API here: build, tag, push, pull, login, images, inspect and rmi are", method, path);
  }

  Result<void> image(const std::string& method, const std::string& rest) {
    const auto ends = [&](std::string_view word) { return rest.size() > word.size() && rest.ends_with(word); };
    const auto name = [&](std::string_view word) { return rest.substr(0, rest.size() - word.size()); };
    if (ends("/json")) return inspect(name("/json"));
    if (method == "POST" && ends("/tag")) return tag(name("/tag"));
    if (method == "POST" && ends("/push")) return push(name("/push"));
    if (method == "DELETE") return remove(rest);
    return fail(Code::InvalidArgument, "{} /images/{} is no part of the Docker API here", method, rest);
  }

  bool may_call() const {
    const auto header = request_.headers.get("authorization");
    std::string plain;
    if (!header.starts_with("Basic ") || !base64_decode(header.substr(6), plain)) return false;
    const auto colon = plain.find(':');
    return colon != plain.npos && matches(plain.substr(0, colon), plain.substr(colon + 1));
  }

  bool matches(const std::string& user, const std::string& password) const {
    const auto secret_of = [&](std::string_view key) {
      auto found = credentials_.find(key);
      return found ? std::optional(found->secret) : std::nullopt;
    };
    return registry::password_matches(user, password, secret_of, SystemClock().now());
  }

  Result<void> ping() {
    net::Response response{.body = request_.method == "HEAD" ? "" : "OK"};
    response.headers.set("content-type", "text/plain");
    response.headers.set("api-version", std::string(kApiVersion));
    response.headers.set("builder-version", "1");  // the docker command sends a tar to /build then
    response.headers.set("docker-experimental", "false");
    response.headers.set("ostype", "linux");
    return writer_.send(response);
  }

  Result<void> version() {
    return send(200, Json::object({{"Version", "watari"}, {"ApiVersion", kApiVersion}, {"MinAPIVersion", "1.24"}, {"Os", "linux"}, {"OSType", "linux"},
                                   {"Arch", "amd64"}, {"Architecture", "x86_64"}, {"ServerVersion", "watari"}, {"Name", "watari"}}));
  }

  Result<Json> read_json() {
    std::string text;
    std::vector<char> piece(16384);
    while (true) {
      TRY(auto count, body_.read(piece));
      if (count == 0) return codec::parse_json(text);
      text.append(piece.data(), count);
      if (text.size() > 1 << 20) return fail(Code::InvalidArgument, "the body is larger than 1 MiB");
    }
  }

  // Whether a name means this server's own registry: all but those that begin with another host, or with another port of this one.
  bool is_local(const std::string& name) const {
    auto reference = oci::parse_reference(name);
    if (!reference) return false;
    const auto host = name.substr(0, name.find('/'));
    const auto asked = std::string(request_.headers.get("host"));
    const auto port = host.rfind(':'), own = asked.rfind(':');
    if (host != name && port != host.npos && own != asked.npos && host.substr(port) != asked.substr(own)) return false;
    auto first = reference->repository.substr(0, reference->repository.find('/'));
    return first == reference->repository || first.find('.') == first.npos;
  }

  Result<void> log_in() {
    TRY(auto body, read_json());
    const auto& server = body["serveraddress"].as_string();
    if (is_local(server + "/x")) {
      if (!matches(body["username"].as_string(), body["password"].as_string())) return fail(Code::Unauthenticated, "unauthorized: wrong user name or password for {}", server);
    } else {
      TRY(auto remote, remote_of(server + "/library/x", body));
      auto response = remote->request("GET", "tags/list", {}, {});
      const bool refused = response ? response->status == 401 : response.error().code == Code::Unauthenticated || response.error().code == Code::PermissionDenied;
      if (!response && !refused) return fail(response.error());
      if (refused) return fail(Code::Unauthenticated, "unauthorized: {} does not take this user name and password", server);
    }
    return send(200, Json::object({{"Status", "Login Succeeded"}, {"IdentityToken", ""}}));
  }

  static registry::RemoteOptions options_of(const Json& login) { return {.user = login["username"].as_string(), .password = login["password"].as_string()}; }
  static Result<std::shared_ptr<registry::Remote>> remote_of(const std::string& name, const Json& login) {
    TRY(auto remote, registry::parse_remote(name));
    return std::make_shared<registry::Remote>(std::move(remote), options_of(login));
  }

  // What the docker command knows of the registry that it asks for.
  Json registry_login() const {
    std::string text(request_.headers.get("x-registry-auth"));
    std::ranges::replace(text, '-', '+');
    std::ranges::replace(text, '_', '/');
    text.resize((text.size() + 3) / 4 * 4, '=');
    std::string plain;
    auto json = base64_decode(text, plain) ? codec::parse_json(plain) : fail(Code::InvalidArgument, "none");
    return json ? *json : Json::object();
  }

  // A tag, a digest, or the beginning of an image's id.
  Result<oci::Image> find(const std::string& name) const {
    auto id = name.starts_with("sha256:") ? name.substr(7) : name;
    bool maybe_id = id.size() >= 4 && id.size() <= 64 && id.find_first_not_of("0123456789abcdef") == id.npos;
    if (auto image = images_.resolve(name)) return image;
    for (const auto& tagged : maybe_id ? images_.tags() : std::vector<oci::Tagged>())
      if (auto image = images_.resolve(tagged.digest); image && image->config_digest.substr(7).starts_with(id)) return image;
    return fail(Code::NotFound, "No such image: {}", name);
  }

  Json summary(const oci::Image& image) const {
    std::vector<std::string> tags, digests;
    for (const auto& tagged : images_.tags()) {
      if (tagged.digest != image.digest) continue;
      tags.push_back(tagged.repository + ":" + tagged.tag);
      digests.push_back(tagged.repository + "@" + tagged.digest);
    }
    digests.erase(std::unique(digests.begin(), digests.end()), digests.end());
    return Json::object({{"Id", image.config_digest}, {"RepoTags", strings(tags)}, {"RepoDigests", strings(digests)}, {"Size", image.size}, {"ParentId", ""}, {"Parent", ""}});
  }

  Result<void> list() {
    auto filters = codec::parse_json(query_["filters"].empty() ? "{}" : query_["filters"]);
    if (!filters) return fail(filters.error());
    std::vector<std::string> wanted;
    for (const auto& [name, value] : filters->as_object()) {
      if (name != "reference") return fail(Code::InvalidArgument, "the filter {} is not supported here; reference is", name);
      for (const auto& [each, on] : value.as_object()) wanted.push_back(each);
      for (const auto& each : value.as_array()) wanted.push_back(each.as_string());
    }
    auto all = Json::array();
    std::map<std::string, bool> seen;
    for (const auto& tagged : images_.tags()) {
      auto fits = [&](const std::string& pattern) { return wildcard_match(pattern, tagged.repository) || wildcard_match(pattern, tagged.repository + ":" + tagged.tag); };
      auto image = images_.resolve(tagged.digest);
      if (!image || (!wanted.empty() && std::ranges::none_of(wanted, fits)) || !seen.try_emplace(image->digest, true).second) continue;
      auto one = summary(*image);
      one.set("Created", tagged.updated_at.time_since_epoch().count() / 1000).set("SharedSize", -1).set("Containers", -1).set("Labels", labels(*image));
      all.push(std::move(one));
    }
    return send(200, all);
  }

  static Json labels(const oci::Image& image) {
    auto object = Json::object();
    for (const auto& [name, value] : image.config.labels) object.set(name, value);
    return object;
  }

  Result<void> inspect(const std::string& name) {
    TRY(auto image, find(name));
    const auto& config = image.config;
    auto layers = Json::array();
    for (const auto& layer : image.layers) layers.push(Json(layer.diff_id));
    auto out = summary(image);
    out.set("Created", image.created).set("Author", image.author).set("Architecture", image.architecture).set("Os", image.os);
    out.set("RootFS", Json::object({{"Type", "layers"}, {"Layers", std::move(layers)}}));
    out.set("Config", Json::object({{"User", config.user}, {"WorkingDir", config.working_dir}, {"Env", strings(config.env)}, {"Cmd", strings(config.cmd)},
                                    {"Entrypoint", strings(config.entrypoint)}, {"Labels", labels(image)}, {"ExposedPorts", set_of(config.exposed_ports)},
                                    {"Volumes", set_of(config.volumes)}, {"StopSignal", config.stop_signal}, {"Shell", strings(config.shell)},
                                    {"OnBuild", strings(config.on_build)}}));
    return send(200, out);
  }

  Result<void> tag(const std::string& name) {
    TRY(auto image, find(name));
    TRY(auto reference, oci::parse_reference(query_["repo"] + (query_["tag"].empty() ? "" : ":" + query_["tag"])));
    TRY_VOID(images_.tag(reference.repository, reference.tag, image.digest));
    return send(201, Json::object());
  }

  Result<void> remove(const std::string& name) {
    TRY(auto image, find(name));
    TRY(auto reference, oci::parse_reference(name));
    if (reference.tag.empty() || !images_.repositories().tagged(reference.repository, reference.tag))
      return fail(Code::InvalidArgument, "{} names no tag; give it as NAME:TAG", name);
    TRY_VOID(images_.untag(reference.repository, reference.tag));
    return send(200, Json::array({Json::object({{"Untagged", reference.repository + ":" + reference.tag}})}));
  }

  // An image of this store needs no push: a name of this registry is served already. Another registry gets it.
  Result<void> push(const std::string& repository) {
    auto tag = query_["tag"].empty() ? "latest" : query_["tag"];
    auto name = repository + ":" + tag;
    TRY(auto image, find(name));
    TRY_VOID(begin());
    line(status("The push refers to repository [" + repository + "]"));
    if (!is_local(name)) {
      TRY(auto remote, remote_of(name, registry_login()));
      registry::Progress progress;
      TRY(auto local, oci::parse_reference(name));
      TRY_VOID(registry::push_image(images_, local.repository, image.digest, *remote, progress));
    }
    line(status(fmt::format("{}: digest: {} size: {}", tag, image.digest, image.size)));
    return line(Json::object({{"progressDetail", Json::object()}, {"aux", Json::object({{"Tag", tag}, {"Digest", image.digest}, {"Size", image.size}})}}));
  }

  Result<void> pull() {
    auto name = query_["fromImage"];
    if (name.empty()) return fail(Code::InvalidArgument, "only images of registries can be created here");
    if (!query_["tag"].empty()) name += (query_["tag"].starts_with("sha256:") ? "@" : ":") + query_["tag"];
    TRY(auto reference, oci::parse_reference(name));
    TRY_VOID(begin());
    std::string digest;
    if (is_local(name)) {
      TRY(auto image, find(name));
      digest = image.digest;
    } else {
      // The login is the registry's own: a mirror that wants another is passed over.
      TRY(auto remote, registry::parse_remote(name));
      auto login_for = [&](const std::string& host) -> Result<registry::RemoteOptions> { return host == remote.host ? options_of(registry_login()) : registry::RemoteOptions{}; };
      TRY(auto from, registry::sources_of(remote, mirrors_, login_for));
      registry::Progress progress;
      TRY(digest, registry::pull_image(images_, from, reference.repository, reference.tag, {}, progress));
    }
    line(status("Digest: " + digest));
    return line(status("Status: Image is up to date for " + name));
  }

  // What the docker command sends whether it was asked for or not is fine with its plain value; otherwise it is refused.
  Result<builder::BuildRequest> build_request() {
    builder::BuildRequest wanted{.dockerfile = query_["dockerfile"].empty() ? "Dockerfile" : query_["dockerfile"], .target = query_["target"], .tags = tags_};
    wanted.no_cache = query_["nocache"] == "1" || query_["nocache"] == "true";
    if (auto args = codec::parse_json(query_["buildargs"].empty() ? "{}" : query_["buildargs"])) {
      for (const auto& [name, value] : args->as_object()) wanted.build_args[name] = value.as_string();
    } else {
      return fail(args.error());
    }
    wanted.limits.memory_bytes = parse_number<std::int64_t>(query_["memory"]).value_or(0);
    static constexpr std::array kKnown{"t", "dockerfile", "target", "nocache", "buildargs", "memory", "rm", "forcerm", "q", "pull", "cachefrom"};
    static constexpr std::array kPlain{"", "0", "1", "{}", "[]", "null", "default", "linux/amd64"};
    for (const auto& [name, value] : query_)
      if (std::ranges::find(kKnown, name) == kKnown.end() && std::ranges::find(kPlain, value) == kPlain.end())
        return fail(Code::InvalidArgument, "the build option {}={} is not supported here; `watari build --help` lists what is", name, value);
    return wanted;
  }

  Result<void> build() {
    TRY(auto wanted, build_request());
    TRY(wanted.context_id, builder_.add_context([&](std::span<char> into) { return body_.read(into); }));
    TRY(auto id, builder_.start(std::move(wanted)));
    TRY_VOID(begin());
    std::int64_t position = 0;
    std::map<int, builder::StepStatus> shown;
    for (auto pause = Millis(5);; pause = std::min(pause * 5 / 4, Millis(200))) {
      TRY(auto report, builder_.get(id, position));
      bool more = report.next_log_position != position;
      position = report.next_log_position;
      if (auto sent = show(report, shown); !sent) {
        (void)builder_.stop(id);  // nobody is there any more
        return sent;
      }
      if (!more && report.status == builder::BuildStatus::Succeeded) return finish_build(report);
      if (!more && report.status != builder::BuildStatus::Running) return fail(Code::FailedPrecondition, "{}", report.error);
      std::this_thread::sleep_for(pause);
    }
  }

  Result<void> show(const builder::BuildReport& report, std::map<int, builder::StepStatus>& shown) {
    using builder::StepStatus;
    for (const auto& step : report.steps) {
      if (step.status == StepStatus::Waiting) continue;
      auto [before, first] = shown.emplace(step.number, StepStatus::Waiting);
      if (first) TRY_VOID(stream(fmt::format("Step {}/{} : {}\n", step.number, report.steps.size(), step.instruction)));
      // It may have been seen while its cache was looked up.
      if (step.status == StepStatus::Cached && before->second != StepStatus::Cached) TRY_VOID(stream(" ---> Using cache\n"));
      before->second = step.status;
    }
    for (const auto& each : report.lines) TRY_VOID(stream(each.text + "\n"));
    return {};
  }

  Result<void> finish_build(const builder::BuildReport& report) {
    TRY(auto image, images_.resolve(report.image_digest));
    TRY_VOID(line(Json::object({{"aux", Json::object({{"ID", image.config_digest}})}})));
    TRY_VOID(stream(fmt::format("Successfully built {}\n", image.config_digest.substr(7, 12))));
    for (const auto& each : tags_) TRY_VOID(stream("Successfully tagged " + (each.substr(each.rfind('/') + 1).contains(':') ? each : each + ":latest") + "\n"));
    return {};
  }

  static Json status(std::string text) { return Json::object({{"status", std::move(text)}}); }
  Result<void> stream(std::string text) { return line(Json::object({{"stream", std::move(text)}})); }
  Result<void> line(const Json& json) { return writer_.write(json.dump() + "\n"); }
  Result<void> begin() {
    net::Response head;
    head.headers.set("content-type", "application/json");
    started_ = true;
    return writer_.start(head);
  }
  Result<void> send(int code, const Json& json) {
    net::Response response{.status = code, .body = json.dump()};
    response.headers.set("content-type", "application/json");
    response.headers.set("api-version", std::string(kApiVersion));
    return writer_.send(response);
  }

  const net::Request& request_;
  net::BodyReader& body_;
  net::ResponseWriter& writer_;
  builder::Builder& builder_;
  oci::ImageStore& images_;
  const Credentials& credentials_;
  const registry::Mirrors& mirrors_;
  std::map<std::string, std::string> query_;
  std::vector<std::string> tags_;
  bool started_ = false;
};

}  // namespace

net::StreamHandler make_docker_api(builder::Builder& builder, oci::ImageStore& images, Credentials credentials, registry::Mirrors mirrors) {
  return [&builder, &images, credentials = std::move(credentials), mirrors = std::move(mirrors)](const net::Request& request, net::BodyReader& body, net::ResponseWriter& writer) {
    DockerCall(request, body, writer, builder, images, credentials, mirrors).answer();
  };
}

std::vector<std::string> docker_prefixes() {
  std::vector<std::string> all{"/_ping"};
  for (int minor = 24; minor <= 60; ++minor) all.push_back(fmt::format("/v1.{}", minor));
  return all;
}

std::string docker_config(const Credentials& credentials, Time expires_at) {
  const auto& key = credentials.access_key_id();
  auto token = registry::make_token(key, credentials.find(key)->secret, expires_at);
  return Json::object({{"HttpHeaders", Json::object({{"Authorization", "Basic " + base64("AWS:" + token)}})}}).dump();
}

}  // namespace watari::aws
