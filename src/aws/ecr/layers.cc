// Layers by the API: what the registry's own protocol does, in calls.
#include "aws/credentials.h"
#include "aws/ecr/wire.h"
#include "aws/gen/ecr/batch_check_layer_availability.h"
#include "aws/gen/ecr/complete_layer_upload.h"
#include "aws/gen/ecr/get_download_url_for_layer.h"
#include "aws/gen/ecr/initiate_layer_upload.h"
#include "aws/gen/ecr/upload_layer_part.h"
#include "oci/reference.h"
#include "registry/registry.h"
#include "registry/token.h"

namespace watari::aws::ecr {

namespace {

constexpr std::int64_t kPartSize = 10 * 1024 * 1024;  // as AWS answers
constexpr Seconds kUrlLife{3600};

Result<registry::Uploads*> uploads_of(Call& call) {
  if (call.platform.registry) return &call.platform.registry->uploads();
  return fail(Code::Unavailable, "this server was started without its registry");
}

// The API's upload ids are UUIDs, the registry's are 32 digits.
std::string to_uuid(std::string id) {
  for (std::size_t at : {8, 13, 18, 23}) id.insert(at, "-");
  return id;
}

Result<std::unique_ptr<registry::Uploads::Session>> resume(Call& call, const std::string& repository, std::string id) {
  TRY(auto* uploads, uploads_of(call));
  std::erase(id, '-');
  auto session = uploads->resume(repository, id);
  if (!session && session.error().code == Code::NotFound)
    return error("UploadNotFoundException", "The upload does not exist in the repository with name '{}' in the registry with id '{}'", repository, call.scope.account);
  return session;
}

// Its size, when it is here and this repository may be asked for it.
std::optional<std::int64_t> may_have(Call& call, const std::string& repository, const std::string& digest) {
  auto size = call.platform.images->content().touch(digest);
  const bool open = size && (!call.platform.registry || call.platform.registry->access().allows(repository, digest, policy_request(call)));
  return open ? std::optional(*size) : std::nullopt;
}

}  // namespace

Result<InitiateLayerUploadResponse> initiate_layer_upload(Call& call, const InitiateLayerUploadRequest& request) {
  TRY_VOID(find_repository(call, request.registryId, request.repositoryName));
  TRY(auto* uploads, uploads_of(call));
  TRY(auto session, uploads->start(request.repositoryName));
  InitiateLayerUploadResponse out;
  out.uploadId = to_uuid(session->id());
  out.partSize = kPartSize;
  return out;
}

Result<UploadLayerPartResponse> upload_layer_part(Call& call, const UploadLayerPartRequest& request) {
  TRY_VOID(find_repository(call, request.registryId, request.repositoryName));
  TRY(auto session, resume(call, request.repositoryName, request.uploadId));
  const auto size = static_cast<std::int64_t>(request.layerPartBlob.size());
  if (request.partFirstByte != session->offset() || request.partLastByte != request.partFirstByte + size - 1)
    return error("InvalidLayerPartException", "The layer part of {} bytes is not bytes {} to {}, or does not follow the last valid byte, {}", size, request.partFirstByte,
                 request.partLastByte, session->offset() - 1);
  TRY_VOID(session->append(request.layerPartBlob));
  UploadLayerPartResponse out;
  out.registryId = call.scope.account;
  out.repositoryName = request.repositoryName;
  out.uploadId = request.uploadId;
  out.lastByteReceived = session->offset() - 1;
  return out;
}

Result<CompleteLayerUploadResponse> complete_layer_upload(Call& call, const CompleteLayerUploadRequest& request) {
  TRY_VOID(find_repository(call, request.registryId, request.repositoryName));
  if (request.layerDigests.size() != 1 || !oci::valid_digest(request.layerDigests.front()))
    return error("InvalidParameterException", "Invalid parameter at 'layerDigests': give one digest, sha256: and 64 hexadecimal digits or sha512: and 128");
  const auto& digest = request.layerDigests.front();
  TRY(auto session, resume(call, request.repositoryName, request.uploadId));
  if (session->offset() == 0) return error("EmptyUploadException", "The upload does not contain any layer parts");
  auto& content = call.platform.images->content();
  if (content.touch(digest) && call.platform.registry->access().allows(request.repositoryName, digest, policy_request(call))) {
    session->remove();
    return error("LayerAlreadyExistsException", "The layer with digest '{}' already exists in the repository with name '{}'", digest, request.repositoryName);
  }
  TRY(auto found, session->digest(digest));
  if (found != digest) {
    session->remove();
    return error("InvalidLayerException", "The layer has the digest '{}', not '{}'", found, digest);
  }
  TRY_VOID(content.adopt(session->data(), digest));
  session->remove();
  call.platform.registry->access().brought(std::string(call.principal), digest);
  CompleteLayerUploadResponse out;
  out.registryId = call.scope.account;
  out.repositoryName = request.repositoryName;
  out.uploadId = request.uploadId;
  out.layerDigest = digest;
  return out;
}

Result<BatchCheckLayerAvailabilityResponse> batch_check_layer_availability(Call& call, const BatchCheckLayerAvailabilityRequest& request) {
  TRY_VOID(find_repository(call, request.registryId, request.repositoryName));
  BatchCheckLayerAvailabilityResponse out;
  for (const auto& digest : request.layerDigests) {
    if (!oci::valid_digest(digest)) {
      out.failures.push_back({.layerDigest = digest, .failureCode = "InvalidLayerDigest", .failureReason = "Invalid request parameters: layer digest is not valid"});
      continue;
    }
    Layer layer;
    layer.layerDigest = digest;
    const auto size = may_have(call, request.repositoryName, digest);
    layer.layerAvailability = size ? "AVAILABLE" : "UNAVAILABLE";
    if (size) layer.layerSize = *size;
    out.layers.push_back(std::move(layer));
  }
  return out;
}

// The URL carries its own permission, for an hour, as AWS's presigned one does.
Result<GetDownloadUrlForLayerResponse> get_download_url_for_layer(Call& call, const GetDownloadUrlForLayerRequest& request) {
  TRY_VOID(find_repository(call, request.registryId, request.repositoryName));
  if (!oci::valid_digest(request.layerDigest) || !may_have(call, request.repositoryName, request.layerDigest))
    return error("LayersNotFoundException", "The layer with digest '{}' does not exist in the repository with name '{}' in the registry with id '{}'", request.layerDigest,
                 request.repositoryName, call.scope.account);
  if (!call.platform.credentials) return fail(Code::Unavailable, "this server was started without its registry");
  const auto& key = call.platform.credentials->access_key_id();
  const auto path = fmt::format("/v2/{}/blobs/{}", request.repositoryName, request.layerDigest);
  const auto token = registry::make_url_token(key, call.platform.credentials->find(key)->secret, path, call.now + kUrlLife);
  GetDownloadUrlForLayerResponse out;
  out.downloadUrl = fmt::format("{}://{}{}?{}={}", call.secure ? "https" : "http", registry_host(call), path, registry::kUrlToken, token);
  out.layerDigest = request.layerDigest;
  return out;
}

}  // namespace watari::aws::ecr
