// Images from and to other registries.
#include "aws/gen/watari/compress_image.h"
#include "aws/gen/watari/get_transfer.h"
#include "aws/gen/watari/pull_image.h"
#include "aws/gen/watari/push_image.h"
#include "oci/compress_image.h"
#include "oci/image_store.h"
#include "oci/reference.h"
#include "registry/registry.h"
#include "registry/remote.h"

namespace watari::aws::watari {

namespace {

Result<registry::Registry*> registry_of(Call& call) {
  if (call.platform.registry) return call.platform.registry;
  return fail(Code::Unavailable, "this server was started without its registry");
}

// The login for it is the one that `watari images login` has stored in the caller's region.
Result<registry::Sources> connect(Call& call, const std::string& text) {
  TRY(auto* registry, registry_of(call));
  TRY(auto name, registry::parse_remote(text));
  return registry->sources(name, call.scope.region);
}

Result<codec::Compression> compression_of(const std::optional<std::string>& name) {
  if (!name) return codec::Compression::None;
  if (*name == "zstd") return codec::Compression::Zstd;
  if (*name == "gzip") return codec::Compression::Gzip;
  return error("ValidationException", "compression must be zstd or gzip, not {}", *name);
}

struct Local {
  std::string repository, digest;
};

Result<Local> find_local(Call& call, const std::string& image) {
  TRY(auto name, oci::parse_reference(image));
  auto& repositories = call.platform.images->repositories();
  auto digest = name.digest.empty() ? repositories.tagged(name.repository, name.tag) : Result<std::string>(name.digest);
  const bool here = digest && (name.repository.empty() ? call.platform.images->content().size(*digest).has_value() : repositories.manifest(name.repository, *digest).has_value());
  if (!here)
    return error("ResourceNotFoundException", "there is no image {} here; `watari images` lists them", image);
  return Local{std::move(name.repository), *std::move(digest)};
}

Result<std::string> compress(oci::ImageStore& images, const Local& image, codec::Compression how, registry::Progress& progress) {
  if (image.repository.empty()) return fail(Code::InvalidArgument, "name the image with its repository, as NAME@{}", image.digest);
  return oci::compress_image(images, image.repository, image.digest, how, [&](std::int64_t bytes) {
    progress.bytes_total += bytes;
    progress.bytes_done += bytes;
    return !progress.cancelled;
  });
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
  TRY(auto* registry, registry_of(call));
  TRY(auto from, connect(call, request.source));
  TRY(auto name, local_name(request, from.registry().name()));
  auto* images = call.platform.images;
  const registry::PullOptions options{request.allPlatforms.value_or(false) ? registry::Platforms::All : registry::Platforms::Own};
  TRY(auto id, registry->transfers().start([images, from, name, options](registry::Progress& progress) mutable {
    return registry::pull_image(*images, from, name.repository, name.tag, options, progress);
  }));
  PullImageResponse out;
  out.transferId = id;
  out.image = name.repository + (name.tag.empty() ? "@" + name.digest : ":" + name.tag);
  return out;
}

Result<PushImageResponse> push_image(Call& call, const PushImageRequest& request) {
  TRY(auto* registry, registry_of(call));
  TRY(auto to, connect(call, request.target));
  TRY(auto image, find_local(call, request.image));
  TRY(auto how, compression_of(request.compression));
  auto* images = call.platform.images;
  TRY(auto id, registry->transfers().start([images, to, image, how](registry::Progress& progress) mutable -> Result<std::string> {
    if (how != codec::Compression::None) {
      TRY(auto digest, compress(*images, image, how, progress));
      TRY_VOID(oci::carry_documents(*images, image.repository, image.digest, image.repository, digest));
      image.digest = digest;
    }
    TRY_VOID(registry::push_image(*images, image.repository, image.digest, to.registry(), progress));
    return image.digest;
  }));
  PushImageResponse out;
  out.transferId = id;
  return out;
}

Result<CompressImageResponse> compress_image(Call& call, const CompressImageRequest& request) {
  TRY(auto* registry, registry_of(call));
  TRY(auto image, find_local(call, request.image));
  TRY(auto how, compression_of(request.compression));
  if (how == codec::Compression::None) how = codec::Compression::Zstd;
  TRY(auto name, oci::parse_reference(request.target));
  if (name.tag.empty()) return error("ValidationException", "{} must be a name and a tag", request.target);
  auto* images = call.platform.images;
  TRY(auto id, registry->transfers().start([images, image, name, how](registry::Progress& progress) -> Result<std::string> {
    TRY(auto digest, compress(*images, image, how, progress));
    TRY_VOID(oci::carry_documents(*images, image.repository, image.digest, name.repository, digest));
    TRY_VOID(images->tag(name.repository, name.tag, digest));
    return digest;
  }));
  CompressImageResponse out;
  out.transferId = id;
  return out;
}

Result<GetTransferResponse> get_transfer(Call& call, const GetTransferRequest& request) {
  TRY(auto* registry, registry_of(call));
  auto found = registry->transfers().find(request.transferId);
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
