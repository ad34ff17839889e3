// Images from and to other registries.
#include "async/loop.h"
#include "aws/gen/watari/get_transfer.h"
#include "aws/gen/watari/pull_image.h"
#include "aws/gen/watari/push_image.h"
#include "oci/image_store.h"
#include "oci/reference.h"
#include "registry/registry.h"
#include "registry/remote.h"
#include "vault/vault.h"

namespace watari::aws::watari {

namespace {

Result<registry::Transfers*> transfers_of(Call& call) {
  if (call.platform.registry) return &call.platform.registry->transfers();
  return fail(Code::Unavailable, "this server was started without its registry");
}

// The login that `watari images login` has stored: a parameter "user:password" named after the registry. Without one, nobody.
Result<registry::RemoteOptions> options_for(Call& call, const std::string& host) {
  registry::RemoteOptions out;
  auto* vault = call.platform.vault;
  if (!vault) return out;
  const auto name = registry::login_parameter(host);
  auto secret = call.platform.control_loop.call([&] { return vault->read_secret(call.scope, name); });
  if (!secret && secret.error().reason == "ParameterNotFound") return out;
  if (!secret) return fail(std::move(secret).error());
  const auto colon = secret->find(':');
  if (colon == secret->npos) return error("ValidationException", "the parameter {} is not USER:PASSWORD; `watari images login {}` stores it", name, host);
  out.user = secret->substr(0, colon);
  out.password = secret->substr(colon + 1);
  return out;
}

Result<std::shared_ptr<registry::Remote>> connect(Call& call, const std::string& text) {
  TRY(auto name, registry::parse_remote(text));
  TRY(auto options, options_for(call, name.host));
  return std::make_shared<registry::Remote>(std::move(name), std::move(options));
}

// What a pulled image is called here: as it was asked for, so that task definitions and FROM lines find it by the same name; a registry with a
// port cannot be part of a name here and is left out.
Result<oci::Reference> local_name(const PullImageRequest& request, const registry::RemoteName& remote) {
  if (request.target) return oci::parse_reference(*request.target);
  auto as_given = oci::parse_reference(request.source);
  if (as_given) return as_given;
  return oci::parse_reference(remote.repository + (oci::valid_digest(remote.reference) ? "@" : ":") + remote.reference);
}

}  // namespace

Result<PullImageResponse> pull_image(Call& call, const PullImageRequest& request) {
  TRY(auto* transfers, transfers_of(call));
  TRY(auto remote, connect(call, request.source));
  TRY(auto name, local_name(request, remote->name()));
  auto* images = call.platform.images;
  auto started = transfers->start([images, remote, name](registry::Progress& progress) { return registry::pull_image(*images, *remote, name.repository, name.tag, progress); });
  if (!started) return fail(std::move(started).error());
  PullImageResponse out;
  out.transferId = *started;
  out.image = name.repository + (name.tag.empty() ? "@" + name.digest : ":" + name.tag);
  return out;
}

Result<PushImageResponse> push_image(Call& call, const PushImageRequest& request) {
  TRY(auto* transfers, transfers_of(call));
  TRY(auto remote, connect(call, request.target));
  TRY(auto name, oci::parse_reference(request.image));
  auto* images = call.platform.images;
  auto digest = name.digest.empty() ? images->repositories().tagged(name.repository, name.tag) : Result<std::string>(name.digest);
  if (!digest) return error("ResourceNotFoundException", "there is no image {} here; `watari images` lists them", request.image);
  auto started = transfers->start([images, remote, repository = name.repository, digest = *digest](registry::Progress& progress) -> Result<std::string> {
    TRY_VOID(registry::push_image(*images, repository, digest, *remote, progress));
    return digest;
  });
  if (!started) return fail(std::move(started).error());
  PushImageResponse out;
  out.transferId = *started;
  return out;
}

Result<GetTransferResponse> get_transfer(Call& call, const GetTransferRequest& request) {
  TRY(auto* transfers, transfers_of(call));
  auto found = transfers->find(request.transferId);
  if (!found) return error("ResourceNotFoundException", "there is no transfer {}; the server may have been started again, then start it again", request.transferId);
  GetTransferResponse out;
  out.status = found->running ? "RUNNING" : found->result ? "DONE" : "FAILED";
  out.bytesDone = found->bytes_done;
  out.bytesTotal = found->bytes_total;
  if (!found->running && found->result) out.digest = *found->result;
  if (!found->running && !found->result) out.message = found->result.error().message;
  return out;
}

}  // namespace watari::aws::watari
