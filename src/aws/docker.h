#pragma once
// A part of the Docker Engine API: what `docker build`, `tag`, `push`, `pull`, `login`, `images`, `inspect` and `rmi` of an unmodified docker
// command (and the Docker SDKs) call, answered by this server's builder and image store. The rest is refused by name.
// Source: https://docs.docker.com/reference/api/engine/version/v1.43/
//
// Whoever calls shows the credentials that the registry takes: HTTP Basic with an access key id and its secret, or AWS and a token of
// ecr:GetAuthorizationToken. The docker command sends them when its config.json has them under "HttpHeaders" (docker_config()).
#include <string>
#include <vector>

#include "aws/credentials.h"
#include "base/clock.h"
#include "net/server.h"
#include "registry/mirrors.h"

namespace watari::builder {
class Builder;
}
namespace watari::oci {
class ImageStore;
}

namespace watari::aws {

// For the streaming routes /_ping and /v1.N (docker_prefixes()). Builder and images must outlive the server. `mirrors` are asked by `docker pull`.
net::StreamHandler make_docker_api(builder::Builder& builder, oci::ImageStore& images, Credentials credentials, registry::Mirrors mirrors);
std::vector<std::string> docker_prefixes();

// The config.json by which a docker command may speak to this server until `expires_at`. It holds a secret.
std::string docker_config(const Credentials& credentials, Time expires_at);

}  // namespace watari::aws
