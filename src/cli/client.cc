#include "cli/client.h"

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/strings.h"
#include "codec/xml.h"

namespace watari::cli {
namespace {

using codec::Json;

struct Service {
  std::string_view name, signing_name;
  std::string_view target;   // of X-Amz-Target; empty: a Query service
  std::string_view version;  // of Query services
  std::string_view element;  // between a list's name and the item's number
};

constexpr Service kServices[] = {
    {"ecs", "ecs", "AmazonEC2ContainerServiceV20141113", "", ""},
    {"ssm", "ssm", "AmazonSSM", "", ""},
    {"logs", "logs", "Logs_20140328", "", ""},
    {"codedeploy", "codedeploy", "CodeDeploy_20141006", "", ""},
    {"watari", "watari", "Watari", "", ""},
    {"elbv2", "elasticloadbalancing", "", "2015-12-01", "member."},
    {"ec2", "ec2", "", "2016-11-15", ""},
    {"sts", "sts", "", "2011-06-15", "member."},
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

struct Keys {
  net::AwsKey key;
  std::string session_token;
};

// Source: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
Result<Keys> read_keys(const Place& place) {
  Keys keys;
  if (place.credentials.empty()) {
    keys = {{environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY")}, environment("AWS_SESSION_TOKEN")};
  } else {
    std::ifstream in(place.credentials);
    if (!in) return fail(Code::Unavailable, "cannot read {}: run this as the user who started the server", place.credentials);
    auto profile = place.root.empty() ? environment("AWS_PROFILE") : "";
    auto wanted = "[" + (profile.empty() ? "default" : profile) + "]";
    bool inside = false;
    for (std::string line; std::getline(in, line);) {
      auto text = trim(line);
      if (text.starts_with('[')) inside = text == wanted;
      auto equals = text.find('=');
      if (!inside || equals == std::string_view::npos) continue;
      auto name = trim(text.substr(0, equals));
      auto value = std::string(trim(text.substr(equals + 1)));
      if (name == "aws_access_key_id") keys.key.id = value;
      if (name == "aws_secret_access_key") keys.key.secret = value;
      if (name == "aws_session_token") keys.session_token = value;
    }
  }
  if (!keys.key.id.empty() && !keys.key.secret.empty()) return keys;
  return fail(Code::Unauthenticated, "no access key {}: name the server's root directory with --root, or set AWS_ACCESS_KEY_ID and "
              "AWS_SECRET_ACCESS_KEY", place.credentials.empty() ? "in the environment" : "in " + place.credentials);
}

// {"Names": ["a"], "Tags": [{"Key": "k"}]} -> Names.member.1=a&Tags.member.1.Key=k
void flatten(const std::string& name, const Json& value, std::string_view element, std::string& out) {
  if (value.is_object()) {
    for (const auto& [key, member] : value.as_object()) flatten(name.empty() ? key : name + "." + key, member, element, out);
  } else if (value.is_array()) {
    int number = 0;
    for (const auto& item : value.as_array()) flatten(fmt::format("{}.{}{}", name, element, ++number), item, element, out);
  } else if (!value.is_null()) {
    out += "&" + percent_encode(name) + "=" + percent_encode(value.is_string() ? value.as_string() : value.dump());
  }
}

Code code_of(int status, std::string_view name) {
  if (status >= 500) return Code::Internal;
  if (name.find("NotFound") != std::string_view::npos || status == 404) return Code::NotFound;
  if (status == 401 || status == 403) return Code::Unauthenticated;
  return Code::InvalidArgument;
}

Error api_error(const std::string& what, const net::Response& response) {
  std::string name, message;
  if (auto json = codec::parse_json(response.body)) {
    name = (*json)["__type"].as_string();
    if (auto hash = name.find('#'); hash != std::string::npos) name = name.substr(hash + 1);
    message = (*json)[json->has("message") ? "message" : "Message"].as_string();
  } else if (auto xml = codec::xml_to_json(response.body)) {
    const auto& root = xml->as_object().front().second;
    const auto& error = root.has("Errors") ? root["Errors"]["Error"] : root["Error"];
    name = error["Code"].as_string();
    message = error["Message"].as_string();
  }
  if (name.empty()) name = fmt::format("HTTP {}", response.status);
  if (message.empty()) message = response.body.substr(0, 200);
  return {code_of(response.status, name), fmt::format("{}: {} ({})", what, message, name), name};
}

Result<Json> query_result(const std::string& operation, const std::string& body) {
  TRY(auto xml, codec::xml_to_json(body));
  const auto& root = xml[operation + "Response"];
  return root.has(operation + "Result") ? root[operation + "Result"] : root;
}

}  // namespace

Result<Client> Client::connect(const std::optional<std::string>& root) {
  TRY(auto place, find_place(root));
  TRY(auto keys, read_keys(place));
  return Client(std::move(place), std::move(keys.key), std::move(keys.session_token));
}

net::Request Client::request_to(const std::string& path) const {
  std::string base = place_.endpoint;
  while (base.ends_with('/')) base.pop_back();
  net::Request request{.method = "POST", .target = base + path, .path = path};
  auto scheme = base.find("://");
  request.headers.set("host", scheme == std::string::npos ? base : base.substr(scheme + 3));
  return request;
}

void Client::sign(net::Request& request, const std::string& signing_name) const {
  if (!session_token_.empty()) request.headers.set("x-amz-security-token", session_token_);
  net::sign(request, key_, place_.region, signing_name, SystemClock().now());
}

Error Client::unreachable(const Error& error) const {
  if (error.code != Code::Unavailable) return error;
  auto how = place_.root.empty() ? "is AWS_ENDPOINT_URL right?" : fmt::format("start it with `watari serve --root {}`", place_.root);
  return {Code::Unavailable, fmt::format("no server answers on {}: {} ({})", place_.endpoint, how, error.message)};
}

// Over HTTPS: the authority of the server whose root this is, or the one that the AWS tools are told of.
std::string Client::authority() const {
  if (!place_.endpoint.starts_with("https:")) return "";
  return place_.root.empty() ? environment("AWS_CA_BUNDLE") : place_.root + "/ca.pem";
}

Result<net::Response> Client::send(net::Request request, const std::string& signing_name) {
  auto deadline = std::chrono::steady_clock::now() + patience_;
  while (true) {
    sign(request, signing_name);
    auto response = net::fetch(request, {.ca_file = authority()});
    if (response) return response;
    if (response.error().reason != "refused" || std::chrono::steady_clock::now() >= deadline) return fail(unreachable(response.error()));
    std::this_thread::sleep_for(Millis(200));
  }
}

Result<Json> Client::call(const std::string& name, const std::string& operation, Json body) {
  auto service = std::find_if(std::begin(kServices), std::end(kServices), [&](const auto& s) { return s.name == name; });
  if (service == std::end(kServices)) return fail(Code::Internal, "the client does not know the service {}", name);
  auto request = request_to("/");
  if (service->target.empty()) {
    request.headers.set("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    request.body = fmt::format("Action={}&Version={}", operation, service->version);
    flatten("", body, service->element, request.body);
  } else {
    request.headers.set("content-type", "application/x-amz-json-1.1");
    request.headers.set("x-amz-target", fmt::format("{}.{}", service->target, operation));
    request.body = body.dump();
  }
  auto response = send(std::move(request), std::string(service->signing_name));
  if (!response) return fail(response.error());
  if (response->status != 200) return fail(api_error(name + " " + operation, *response));
  return service->target.empty() ? query_result(operation, response->body) : codec::parse_json(response->body);
}

Result<Json> Client::call_all(const std::string& service, const std::string& operation, Json request, const std::string& list,
                              const std::string& token) {
  auto all = Json::array();
  while (true) {
    TRY(auto page, call(service, operation, request));
    for (const auto& item : page[list].as_array()) all.push(item);
    auto next = page[token == "Marker" ? "NextMarker" : token].as_string();
    if (next.empty()) return all;
    request.set(token, next);
  }
}

Result<Json> Client::upload(const std::string& path, Upload upload) {
  auto request = request_to(path);
  request.headers.set("content-type", "application/x-tar");
  if (!upload.kind.empty()) request.headers.set("x-watari-context", upload.kind);
  // The body is streamed, so the signature covers its digest in a header instead; the server compares.
  if (!upload.sha256.empty()) request.headers.set("x-amz-meta-sha256", upload.sha256);
  sign(request, "watari");
  net::FetchOptions options{.timeout = Millis(3'600'000), .ca_file = authority(), .body_source = std::move(upload.body), .body_size = upload.size};
  auto response = net::fetch(request, options);
  if (!response) return fail(unreachable(response.error()));
  if (response->status != 200) return fail(api_error("upload to " + path, *response));
  return codec::parse_json(response->body);
}

Result<void> Client::download(const std::string& path, std::function<bool(std::string_view)> sink) {
  auto request = request_to(path);
  request.method = "GET";
  sign(request, "watari");
  int status = 0;
  std::string refused;
  auto on_body = [&](std::string_view bytes) {
    if (status == 200) return sink(bytes);
    refused += bytes;
    return refused.size() < 65536;
  };
  auto response = net::fetch(request, {.stall = Millis(60'000), .ca_file = authority(), .on_head = [&](int code, const net::Headers&) { status = code; }, .on_body = on_body});
  if (!response) return fail(unreachable(response.error()));
  response->body = refused;
  if (response->status != 200) return fail(api_error("download of " + path, *response));
  return {};
}

std::string Client::host() const {
  auto start = place_.endpoint.find("://");
  auto host = place_.endpoint.substr(start == std::string::npos ? 0 : start + 3);
  return host.substr(0, host.rfind(':'));
}

std::string name_of_arn(const std::string& arn) { return arn.substr(arn.rfind('/') == std::string::npos ? 0 : arn.rfind('/') + 1); }

}  // namespace watari::cli
