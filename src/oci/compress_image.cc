#include "oci/compress_image.h"

#include <algorithm>

#include "codec/json.h"
#include "codec/parallel_compress.h"
#include "oci/manifest.h"

namespace watari::oci {

using codec::Json;

namespace {

constexpr std::string_view kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar";

bool is_plain(const std::string& media_type) { return media_type == kOciLayer || media_type == kDockerLayer; }

Result<std::string> compressed_type(const std::string& media_type, codec::Compression how) {
  const bool zstd = how == codec::Compression::Zstd;
  if (media_type == kOciLayer) return media_type + (zstd ? "+zstd" : "+gzip");
  if (!zstd) return media_type + ".gzip";
  return fail(Code::FailedPrecondition, "the image has Docker's manifest format, which knows no zstd; use gzip");
}

// One that was made before, with everything that it names.
std::string find_compressed(ImageStore& store, const std::string& repository, const std::string& digest, codec::Compression how) {
  const std::string_view ending = how == codec::Compression::Zstd ? "zstd" : "gzip";
  for (const auto& link : store.repositories().manifests(repository)) {
    auto bytes = store.content().get(link.digest);
    auto manifest = bytes ? parse_manifest(*bytes, link.media_type) : fail(bytes.error());
    if (!manifest || !manifest->annotations.contains(kCompressedFrom) || manifest->annotations[kCompressedFrom] != digest) continue;
    const auto here = [&](const Descriptor& blob) { return blob.media_type.ends_with(ending) && store.content().touch(blob.digest); };
    if (std::ranges::all_of(manifest->layers, here) && store.content().touch(link.digest)) return link.digest;
  }
  return {};
}

Result<Descriptor> compress_layer(Content& content, const Descriptor& layer, codec::Compression how, const std::function<bool(std::int64_t)>& on_bytes) {
  TRY(auto type, compressed_type(layer.media_type, how));
  TRY(auto writer, content.writer(layer.digest));
  codec::ParallelCompressor out(how, codec::Effort::Small, [&](std::string_view bytes) { return writer->write(bytes); });
  TRY_VOID(content.read(layer.digest, 0, -1, [&](std::string_view bytes) -> Result<void> {
    if (on_bytes && !on_bytes(static_cast<std::int64_t>(bytes.size()))) return fail(Code::Cancelled, "the compression was stopped");
    return out.write(bytes);
  }));
  TRY_VOID(out.finish());
  TRY(auto digest, writer->commit());
  return Descriptor{.media_type = type, .digest = digest, .size = writer->size()};
}

}  // namespace

Result<std::string> compress_image(ImageStore& store, const std::string& repository, const std::string& digest, codec::Compression how,
                                   const std::function<bool(std::int64_t)>& on_bytes) {
  TRY(auto bytes, store.content().get(digest));
  TRY(auto manifest, parse_manifest(bytes));
  if (manifest.is_index) return fail(Code::FailedPrecondition, "{} is an index of several images; name one of them by its digest", digest);
  if (std::ranges::none_of(manifest.layers, is_plain, &Descriptor::media_type)) return digest;
  if (auto found = find_compressed(store, repository, digest, how); !found.empty()) return found;
  TRY(auto document, codec::parse_json(bytes));
  auto layers = Json::array();
  const auto& old = document["layers"].as_array();
  for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
    auto entry = old[i];
    if (is_plain(manifest.layers[i].media_type)) {
      TRY(auto made, compress_layer(store.content(), manifest.layers[i], how, on_bytes));
      entry.set("mediaType", Json(made.media_type));
      entry.set("digest", Json(made.digest));
      entry.set("size", Json(made.size));
    }
    layers.push(std::move(entry));
  }
  document.set("layers", std::move(layers));
  auto annotations = document.has("annotations") ? document["annotations"] : Json::object();
  annotations.set(kCompressedFrom, Json(digest));
  document.set("annotations", std::move(annotations));
  return store.put_manifest(repository, manifest.media_type, document.dump());
}

}  // namespace watari::oci
