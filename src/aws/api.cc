#include "aws/api.h"

#include <memory>

#include "aws/authenticate.h"
#include "aws/call.h"
#include "aws/protocol.h"
#include "async/loop.h"
#include "async/pool.h"
#include "base/id.h"
#include "base/log.h"
#include "base/strings.h"

namespace watari::aws {
namespace {

// What a request asks for, as far as it can be told before its signature is checked.
struct Target {
  Protocol protocol = Protocol::Query;
  const Service* service = nullptr;
  std::string operation;
};

// A request on its way: everything that its answer needs.
struct Work {
  net::Request request;
  net::Reply reply;
  std::string id;
  Target target;
  Caller caller;
  Time now;

  void fail(const Error& error) {
    auto wire = to_wire(error, target.service, target.protocol);
    if (wire.status >= 500) log::error("{} {} ({}): {}", target.service ? target.service->name : "?", target.operation, id, error.message);
    else log::debug("{} {} ({}): {}: {}", target.service ? target.service->name : "?", target.operation, id, wire.code, wire.message);
    reply(write_error(target.protocol, wire, id, request.headers.get("content-type"),
                      target.service ? target.service->xml_namespace : std::string_view{}));
  }
};

std::string new_request_id() {
  auto digits = random_hex(32);
  for (std::size_t at : {8, 13, 18, 23}) digits.insert(at, "-");
  return digits;
}

const Service* find_service(Protocol protocol, std::string_view target_prefix) {
  for (const auto* service : services())
    if (service->speaks(protocol) && service->target_prefix == target_prefix) return service;
  return nullptr;
}

Target find_target(const net::Request& request, const std::string& signing_name) {
  Target target;
  if (auto path = rpc_path(request.path)) return {Protocol::Cbor, find_service(Protocol::Cbor, path->service), std::string(path->operation)};
  if (auto header = request.headers.find("x-amz-target")) {
    target.protocol = Protocol::Json;
    auto dot = header->rfind('.');
    auto prefix = header->substr(0, dot);
    if (dot != std::string_view::npos) target.operation = std::string(header->substr(dot + 1));
    target.service = find_service(Protocol::Json, prefix);
    return target;
  }
  auto parameters = parameters_of(request);
  target.operation = parameter(parameters, "Action");
  auto version = parameter(parameters, "Version");
  for (const auto* service : services())
    for (auto protocol : {Protocol::Query, Protocol::Ec2})
      if (service->speaks(protocol) && service->signing_name == signing_name && (version.empty() || service->api_version == version))
        target.service = service;
  if (signing_name == "ec2") target.protocol = Protocol::Ec2;
  return target;
}

Error unknown_operation(const Target& target) {
  auto message = target.operation.empty() ? std::string("The request names no operation (X-Amz-Target or Action).")
                                          : fmt::format("The action {} is not valid for this web service.", target.operation);
  return Error{Code::InvalidArgument, std::move(message), "UnknownOperation"};
}

void run(Work& work, const Operation& operation, Platform& platform) {
  const auto& service = *work.target.service;
  auto request = read_request(work.target.protocol, operation, work.request);
  if (!request) return work.fail(request.error());
  Call call{{work.caller.principal.account, work.caller.region}, operation.name, work.id, work.caller.principal.arn, work.now, platform, *request,
            std::string(work.request.headers.get("host")), work.request.secure, work.caller.principal.user_id};
  auto answer = [&]() -> Result<codec::Json> {
    try {
      return operation.run(operation, call, *request);
    } catch (const std::exception& bug) {
      return fail(Code::Internal, "{} {}: {}", service.name, operation.name, bug.what());
    }
  }();
  if (!answer) return work.fail(answer.error());
  work.reply(write_reply(work.target.protocol, service, operation, *answer, work.id, work.request.headers.get("content-type")));
}

void accept(Work work, Platform& platform, const Credentials& credentials) {
  work.target = find_target(work.request, claimed_service(work.request));
  auto caller = authenticate(work.request, credentials, work.now);
  if (!caller) return work.fail(caller.error());
  work.caller = *std::move(caller);
  const auto* service = work.target.service;
  const auto* operation = service ? service->find(work.target.operation) : nullptr;
  if (!operation) return work.fail(unknown_operation(work.target));
  if (work.caller.service != service->signing_name)
    return work.fail(Error{Code::Unauthenticated, fmt::format("Credential should be scoped to correct service: '{}'.", service->signing_name),
                           "SignatureDoesNotMatch"});
  auto shared = std::make_shared<Work>(std::move(work));
  auto job = [shared, operation, &platform] { run(*shared, *operation, platform); };
  if (operation->pool) platform.pool.post(job);
  else platform.control_loop.post(job);
}

}  // namespace

net::Handler make_api(Platform& platform, Credentials credentials) {
  return [&platform, credentials = std::move(credentials)](net::Request request, net::Reply reply) {
    Work work{std::move(request), std::move(reply), new_request_id(), {}, {}, platform.clock.now()};
    bool known = work.request.path == "/" || rpc_path(work.request.path);
    if (!known || (work.request.method != "POST" && work.request.method != "GET")) {
      work.reply(net::Response{404, {}, "no such page; AWS requests go to POST /\n"});
      return;
    }
    accept(std::move(work), platform, credentials);
  };
}

}  // namespace watari::aws
