#include "aws/watari/contexts.h"

#include <functional>

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

// Gives the body to `use` and compares its digest with the signed one.
Result<Json> take(const net::Request& request, net::BodyReader& body, const Credentials& credentials, const std::function<Result<Json>(const builder::Builder::Read&)>& use) {
  if (request.method != "POST") return fail(Code::InvalidArgument, "it is sent with POST, not {}", request.method);
  TRY(auto caller, authenticate(request, credentials, SystemClock().now()));
  Sha256Stream hash;
  bool ended = false;
  auto read = [&](std::span<char> into) -> Result<std::size_t> {
    TRY(auto count, body.read(into));
    hash.update({into.data(), count});
    ended = count == 0;
    return count;
  };
  TRY(auto stored, use(read));
  std::vector<char> rest(65536);  // padding behind the archive's end
  while (!ended) TRY_VOID(read(rest));
  auto expected = request.headers.get("x-amz-meta-sha256");
  if (!expected.empty() && to_lower(expected) != hex(hash.finish()))
    return fail(Code::InvalidArgument, "what arrived is not what was signed; send it again");
  return stored;
}

}  // namespace

net::StreamHandler make_context_upload(builder::Builder& builder, Credentials credentials) {
  return [&builder, credentials = std::move(credentials)](const net::Request& request, net::BodyReader& body, net::ResponseWriter& writer) {
    auto stored = take(request, body, credentials, [&](const auto& read) { return store(request.headers.get("x-watari-context"), read, builder); });
    auto sent = writer.send(stored ? answer(200, *stored) : refusal(stored.error()));
    if (!sent) log::debug("build context: the client went away: {}", sent.error().message);
  };
}

namespace {

// What goes wrong in the middle breaks the connection off, so that nobody takes a part for the whole.
Result<void> give(const net::Request& request, net::ResponseWriter& writer, builder::Builder& builder, const Credentials& credentials) {
  auto caller = authenticate(request, credentials, SystemClock().now());
  if (!caller) return writer.send(refusal(caller.error()));
  net::Response head;
  head.headers.set("content-type", "application/x-tar");
  TRY_VOID(writer.start(head));
  return builder.export_caches([&](std::string_view bytes) { return writer.write(bytes); });
}

}  // namespace

net::StreamHandler make_cache_transfer(builder::Builder& builder, Credentials credentials) {
  return [&builder, credentials = std::move(credentials)](const net::Request& request, net::BodyReader& body, net::ResponseWriter& writer) {
    if (request.method == "GET") {
      if (auto given = give(request, writer, builder, credentials); !given) log::warn("caches of builds: {}", given.error().message);
      return;
    }
    auto taken = take(request, body, credentials, [&](const auto& read) {
      return builder.import_caches(read).map([](const std::vector<std::string>& ids) {
        auto list = Json::array();
        for (const auto& id : ids) list.push(Json(id));
        return Json::object({{"ids", std::move(list)}});
      });
    });
    auto sent = writer.send(taken ? answer(200, *taken) : refusal(taken.error()));
    if (!sent) log::debug("caches of builds: the client went away: {}", sent.error().message);
  };
}

}  // namespace watari::aws
