#include "aws/protocol.h"

#include <algorithm>
#include <array>
#include <map>

#include "aws/cbor.h"
#include "aws/xml.h"
#include "base/strings.h"
#include "codec/compress.h"
#include "net/sigv4.h"

namespace watari::aws {
namespace {

using codec::Json;

constexpr std::size_t kMaxParameters = 10'000;
constexpr std::size_t kMaxDepth = 32;
constexpr std::string_view kRpcCbor = "rpc-v2-cbor";
constexpr Shape kUntyped = {.kind = Kind::Structure, .name = "Error"};

// "Tags.member.1.Key=a" as a tree.
struct Node {
  std::string value;
  std::map<std::string, Node> children;
};

Json to_json(const Shape& shape, const Node& node);

Json plain(const Node& node) {
  if (node.children.empty()) return node.value;
  Json out = Json::object();
  for (const auto& [name, child] : node.children) out.set(name, plain(child));
  return out;
}

// Values that are not of the shape's kind stay strings, and the codec complains about them.
Json scalar(const Shape& shape, const std::string& text) {
  switch (shape.kind) {
    case Kind::Boolean:
      if (text == "true" || text == "false") return text == "true";
      break;
    case Kind::Integer:
    case Kind::Long:
      if (auto number = parse_number<std::int64_t>(text)) return *number;
      break;
    case Kind::Double:
      if (auto number = parse_number<double>(text)) return *number;
      break;
    case Kind::Timestamp:
      if (auto time = parse_iso8601(text)) return static_cast<double>(time->time_since_epoch().count()) / 1000.0;
      break;
    default: break;
  }
  return text;
}

Json structure(const Shape& shape, const Node& node) {
  Json out = Json::object();
  for (const auto& [name, child] : node.children) {
    auto member = std::ranges::find(shape.members, name, &Member::query_in);
    if (member == shape.members.end()) out.set(name, plain(child));  // the codec refuses it by name
    else out.set(member->name, to_json(*member->shape, child));
  }
  return out;
}

// {"1": a, "2": b, "10": c} in numeric order.
std::vector<const Node*> numbered(const Node& node) {
  std::map<std::int64_t, const Node*> ordered;
  for (const auto& [name, child] : node.children)
    if (auto index = parse_number<std::int64_t>(name)) ordered[*index] = &child;
  std::vector<const Node*> out;
  for (const auto& [index, child] : ordered) out.push_back(child);
  return out;
}

Json list(const Shape& shape, const Node& node) {
  auto wrapped = node.children.find(std::string(shape.element_in));
  const Node& items = shape.element_in.empty() || wrapped == node.children.end() ? node : wrapped->second;
  Json out = Json::array();
  for (const auto* item : numbered(items)) out.push(to_json(*shape.element, *item));
  return out;
}

Json map(const Shape& shape, const Node& node) {
  auto wrapped = node.children.find("entry");
  Json out = Json::object();
  for (const auto* entry : numbered(wrapped == node.children.end() ? node : wrapped->second)) {
    auto key = entry->children.find("key"), value = entry->children.find("value");
    if (key != entry->children.end() && value != entry->children.end()) out.set(key->second.value, to_json(*shape.element, value->second));
  }
  return out;
}

Json to_json(const Shape& shape, const Node& node) {
  switch (shape.kind) {
    case Kind::Structure: return structure(shape, node);
    case Kind::List: return list(shape, node);
    case Kind::Map: return map(shape, node);
    default: return node.children.empty() ? scalar(shape, node.value) : plain(node);
  }
}

Result<Json> read_query(const Operation& operation, const Parameters& parameters) {
  if (parameters.size() > kMaxParameters) return fail(Code::InvalidArgument, "more than {} parameters", kMaxParameters);
  Node root;
  for (const auto& [name, value] : parameters) {
    if (name == "Action" || name == "Version" || name.starts_with("X-Amz-")) continue;
    auto parts = split(name, '.');
    if (parts.size() > kMaxDepth) return fail(Code::InvalidArgument, "parameter {} nests too deeply", name.substr(0, 100));
    Node* node = &root;
    for (const auto& part : parts) node = &node->children[part];
    node->value = value;
  }
  return to_json(operation.input, root);
}

// SDKs compress long requests of some operations (PutMetricData).
// Source: https://smithy.io/2.0/spec/behavior-traits.html#requestcompression-trait
Result<std::string> plain_body(const net::Request& request) {
  constexpr std::size_t kMost = 16 * 1024 * 1024;
  auto encoding = request.headers.get("content-encoding");
  if (encoding.empty() || encoding == "identity") return request.body;
  if (encoding != "gzip") return fail(Error{Code::InvalidArgument, fmt::format("The content encoding {} is not supported by Watari; use gzip.", encoding), "SerializationException"});
  std::string_view left = request.body;
  auto plain = codec::decompress([&](std::span<char> into) -> Result<std::size_t> {
    auto piece = left.substr(0, into.size());
    std::ranges::copy(piece, into.begin());
    left.remove_prefix(piece.size());
    return piece.size();
  });
  std::string out;
  for (std::array<char, 16 * 1024> piece;;) {
    auto size = plain(piece);
    if (!size) return fail(Error{Code::InvalidArgument, size.error().message, "SerializationException"});
    if (*size == 0) return out;
    out.append(piece.data(), *size);
    if (out.size() > kMost) return fail(Error{Code::InvalidArgument, "The request is longer than 16 MiB.", "SerializationException"});
  }
}

net::Response respond(int status, std::string content_type, std::string body, const std::string& request_id) {
  net::Response response{status, {}, std::move(body)};
  response.headers.add("content-type", std::move(content_type));
  response.headers.add("x-amzn-requestid", request_id);
  return response;
}

net::Response respond_cbor(int status, std::string body, const std::string& request_id) {
  auto response = respond(status, "application/cbor", std::move(body), request_id);
  response.headers.add("smithy-protocol", std::string(kRpcCbor));
  return response;
}

std::string json_type(std::string_view request_type) {
  return request_type.starts_with("application/x-amz-json-1.0") ? "application/x-amz-json-1.0" : "application/x-amz-json-1.1";
}

}  // namespace

Parameters parameters_of(const net::Request& request) {
  auto out = net::parse_query(request.query, false);
  if (request.headers.get("content-type").starts_with("application/x-www-form-urlencoded"))
    for (auto& pair : net::parse_query(request.body, true)) out.push_back(std::move(pair));
  return out;
}

std::string parameter(const Parameters& parameters, std::string_view name) {
  for (const auto& [candidate, value] : parameters)
    if (candidate == name) return value;
  return "";
}

std::optional<RpcPath> rpc_path(std::string_view path) {
  auto parts = split(path, '/');
  if (parts.size() != 5 || !parts[0].empty() || parts[1] != "service" || parts[3] != "operation") return std::nullopt;
  constexpr auto kService = std::string_view("/service/").size(), kOperation = std::string_view("/operation/").size();
  return RpcPath{path.substr(kService, parts[2].size()), path.substr(kService + parts[2].size() + kOperation)};
}

Result<Json> read_request(Protocol protocol, const Operation& operation, const net::Request& request) {
  if (protocol == Protocol::Query || protocol == Protocol::Ec2) return read_query(operation, parameters_of(request));
  if (protocol == Protocol::Cbor && request.headers.get("smithy-protocol") != kRpcCbor)
    return fail(Error{Code::InvalidArgument, "The header smithy-protocol must be rpc-v2-cbor.", "SerializationException"});
  if (request.body.empty()) return Json::object();
  TRY(auto body, plain_body(request));
  if (protocol == Protocol::Cbor) return read_cbor(operation.input, body);
  auto json = codec::parse_json(body);
  if (!json) return fail(Error{Code::InvalidArgument, json.error().message, "SerializationException"});
  return json;
}

net::Response write_reply(Protocol protocol, const Service& service, const Operation& operation, const Json& output,
                          const std::string& request_id, std::string_view content_type) {
  if (protocol == Protocol::Cbor) return respond_cbor(200, write_cbor(operation.output, output), request_id);
  if (protocol == Protocol::Json) return respond(200, json_type(content_type), output.dump(), request_id);
  XmlWriter xml;
  auto name = std::string(operation.name);
  xml.open(name + "Response", service.xml_namespace);
  if (protocol == Protocol::Ec2) {
    xml.text("requestId", request_id);
    write_members(xml, operation.output, output);
  } else {
    xml.open(name + "Result");
    write_members(xml, operation.output, output);
    xml.close();
    xml.open("ResponseMetadata");
    xml.text("RequestId", request_id);
    xml.close();
  }
  xml.close();
  return respond(200, "text/xml;charset=UTF-8", xml.take(), request_id);
}

net::Response write_error(Protocol protocol, const WireError& error, const std::string& request_id, std::string_view content_type,
                          std::string_view xml_namespace) {
  if (protocol == Protocol::Json || protocol == Protocol::Cbor) {
    auto body = Json::object({{"__type", error.code}, {"message", error.message}});
    auto response = protocol == Protocol::Cbor ? respond_cbor(error.status, write_cbor(kUntyped, body), request_id)
                                               : respond(error.status, json_type(content_type), body.dump(), request_id);
    response.headers.add("x-amzn-errortype", error.code);
    if (!error.query_code.empty())
      response.headers.add("x-amzn-query-error", error.query_code + (error.status >= 500 ? ";Receiver" : ";Sender"));
    return response;
  }
  XmlWriter xml;
  bool ec2 = protocol == Protocol::Ec2;
  xml.open(ec2 ? "Response" : "ErrorResponse", ec2 ? std::string_view{} : xml_namespace);
  if (ec2) xml.open("Errors");
  xml.open("Error");
  if (!ec2) xml.text("Type", error.status >= 500 ? "Receiver" : "Sender");
  xml.text("Code", error.code);
  xml.text("Message", error.message);
  xml.close();
  if (ec2) xml.close();
  xml.text(ec2 ? "RequestID" : "RequestId", request_id);
  xml.close();
  return respond(error.status, "text/xml;charset=UTF-8", xml.take(), request_id);
}

}  // namespace watari::aws
