#pragma once
// A client of the public APIs, as any AWS SDK is one: finds the endpoint and the keys, signs, calls, reads errors.
#include <map>
#include <optional>
#include <string>

#include "cli/place.h"
#include "codec/json.h"
#include "net/client.h"
#include "net/sigv4.h"

namespace watari::cli {

class Client {
 public:
  // `root` as given by --root. Errors say how to start the server.
  static Result<Client> connect(const std::optional<std::string>& root);

  // How long calls wait for a server that does not take connections, because it is being restarted. Zero at first.
  void set_patience(Millis patience) { patience_ = patience; }

  // One operation: call("ecs", "DescribeServices", {...}). JSON services answer their JSON; of the Query services (elbv2, ec2) the
  // result element as Json, numbers and booleans as text. An error of the API has the AWS name as its reason.
  Result<codec::Json> call(const std::string& service, const std::string& operation, codec::Json request = codec::Json::object());

  // All pages: `list` is the member with the items; pages are followed by `token` in the request and the reply.
  Result<codec::Json> call_all(const std::string& service, const std::string& operation, codec::Json request,
                               const std::string& list, const std::string& token = "nextToken");

  // A signed POST with a streamed body, for what is no AWS operation. `sha256` is that of the body, in hexadecimal; empty when the body
  // proves itself. `kind` becomes the header x-watari-context.
  struct Upload {
    std::string kind, sha256;
    std::int64_t size = 0;
    std::function<std::string()> body;
  };
  Result<codec::Json> upload(const std::string& path, Upload upload);
  // A signed GET whose body goes to `sink` piece by piece; returning false ends it.
  Result<void> download(const std::string& path, std::function<bool(std::string_view)> sink);

  const Place& place() const { return place_; }
  std::string host() const;  // without scheme and port

 private:
  Client(Place place, net::AwsKey key, std::string session_token)
      : place_(std::move(place)), key_(std::move(key)), session_token_(std::move(session_token)) {}
  net::Request request_to(const std::string& path) const;
  void sign(net::Request& request, const std::string& signing_name) const;
  Error unreachable(const Error& error) const;
  std::string authority() const;
  Result<net::Response> send(net::Request request, const std::string& signing_name);

  Place place_;
  net::AwsKey key_;
  std::string session_token_;
  Millis patience_{0};
};

// "arn:…:service/cluster/web" -> "web"; a plain name stays.
std::string name_of_arn(const std::string& arn);

}  // namespace watari::cli
