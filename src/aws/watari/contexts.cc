#include "aws/watari/contexts.h"

#include "aws/authenticate.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/strings.h"
#include "builder/builder.h"
#include "codec/json.h"

namespace watari::aws {
namespace {

using codec::Json;

net::Response answer(int status, const Json& body) {
  net::Response response{.status = status, .body = body.dump()};
  response.headers.set("content-type", "application/x-amz-json-1.1");
  return response;
}

net::Response refusal(const Error& error) {
  int status = error.code == Code::Unauthenticated ? 403 : error.code == Code::Internal ? 500 : 400;
  auto name = !error.reason.empty() ? error.reason : status == 500 ? "InternalFailure" : "ValidationException";
  return answer(status, Json::object({{"__type", name}, {"message", error.message}}));
}

Json answer_of(const builder::Builder::ContextOffer& offer) {
  auto missing = Json::array();
  for (const auto& digest : offer.missing) missing.push(Json(digest));
  return Json::object({{"contextId", offer.id}, {"missing", std::move(missing)}});
}

Result<Json> store(std::string_view kind, const builder::Builder::Read& read, builder::Builder& builder) {
  constexpr std::string_view kFiles = "files ";
  if (kind.empty()) return builder.add_context(read).map([](const std::string& id) { return Json::object({{"contextId", id}}); });
  if (kind == "index") return builder.offer_context(read).map(answer_of);
  if (kind.starts_with(kFiles)) return builder.supply_context(std::string(kind.substr(kFiles.size())), read).map(answer_of);
  return fail(Code::InvalidArgument, "x-watari-context: {} is not known; expected index or `files ID`", kind);
}

Result<Json> take(const net::Request& request, net::BodyReader& body, builder::Builder& builder, const Credentials& credentials) {
  if (request.method != "POST") return fail(Code::InvalidArgument, "a build context is sent with POST, not {}", request.method);
  TRY(auto caller, authenticate(request, credentials, SystemClock().now()));
  Sha256Stream hash;
  bool ended = false;
  auto read = [&](std::span<char> into) -> Result<std::size_t> {
    TRY(auto count, body.read(into));
    hash.update({into.data(), count});
    ended = count == 0;
    return count;
  };
  TRY(auto stored, store(request.headers.get("x-watari-context"), read, builder));
  std::vector<char> rest(65536);  // padding behind the archive's end
  while (!ended) TRY_VOID(read(rest));
  auto expected = request.headers.get("x-amz-meta-sha256");
  if (!expected.empty() && to_lower(expected) != hex(hash.finish()))
    return fail(Code::InvalidArgument, "the build context that arrived is not the one that was signed; send it again");
  return stored;
}

}  // namespace

net::StreamHandler make_context_upload(builder::Builder& builder, Credentials credentials) {
  return [&builder, credentials = std::move(credentials)](const net::Request& request, net::BodyReader& body, net::ResponseWriter& writer) {
    auto stored = take(request, body, builder, credentials);
    auto sent = writer.send(stored ? answer(200, *stored) : refusal(stored.error()));
    if (!sent) log::debug("build context: the client went away: {}", sent.error().message);
  };
}

}  // namespace watari::aws
